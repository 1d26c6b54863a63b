//! Ledgers of tests, which are one in memory but for what is tried: what is not tried is done there.

/// That the names of balances are in the member `memory`.
macro_rules! names_in_memory {
    ($ledger:ty) => {
        impl NameLedger for $ledger {
            fn credit_names(
                &self,
                account: CreditAccount,
            ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
                self.memory.credit_names(account)
            }

            fn renew_names(
                &self,
                account: CreditAccount,
                renewal: Renewal,
            ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
                self.memory.renew_names(account, renewal)
            }
        }
    };
}

/// That all is in the member `memory` but claims, steps, what is found, and leases.
macro_rules! rest_in_memory {
    () => {
        fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
            self.memory.owes(account)
        }

        fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
            self.memory.ids()
        }

        fn paid_by(
            &self,
            chain_id: ChainId,
            transaction: TxHash,
        ) -> BoxFuture<'_, Result<Vec<(PaymentId, Option<PaidLog>)>, LedgerError>> {
            self.memory.paid_by(chain_id, transaction)
        }

        fn fill_in_logs(
            &self,
            chain_id: ChainId,
            transaction: TxHash,
            logs: Vec<(PaymentId, PaidLog)>,
        ) -> BoxFuture<'_, Result<(), LedgerError>> {
            self.memory.fill_in_logs(chain_id, transaction, logs)
        }

        fn unfinal_blocks(
            &self,
            chain_id: ChainId,
            most: usize,
        ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
            self.memory.unfinal_blocks(chain_id, most)
        }

        fn paid_in(
            &self,
            chain_id: ChainId,
            block: Block,
            after: Option<PaymentId>,
            most: usize,
        ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
            self.memory.paid_in(chain_id, block, after, most)
        }

        fn finalize(
            &self,
            chain_id: ChainId,
            block: Block,
        ) -> BoxFuture<'_, Result<(), LedgerError>> {
            self.memory.finalize(chain_id, block)
        }

        fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
            self.memory.open_entries()
        }

        fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
            self.memory.balance(account)
        }

        fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
            self.memory.balances()
        }

        fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
            self.memory.draw(draw)
        }

        fn conclude(
            &self,
            id: DrawId,
            conclusion: Conclusion,
        ) -> BoxFuture<'_, Result<(), LedgerError>> {
            self.memory.conclude(id, conclusion)
        }

        fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
            self.memory.find_draw(id)
        }

        fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
            self.memory.held_draws()
        }

        fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
            self.memory.identity()
        }
    };
}
