//! A disk that is cut off: of what was written since it was synchronised last, any part may be there
//! afterwards, and any part may not.

use std::io::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::random::Random;

/// What a disk writes whole, or not at all.
const SECTOR: usize = 512;

/// The disk, which outlives the seller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is on it for good.
    synced: Vec<u8>,
    /// What whoever reads it sees.
    seen: Vec<u8>,
    /// What was done since it was synchronised, in order.
    since: Vec<Done>,
    /// How many more operations it does before it fails for good.
    breaks_after: Option<u64>,
    is_broken: bool,
    /// It says that it was synchronised, and was not.
    never_syncs: bool,
    /// How many times it was cut off: whoever had it before then has it no more.
    lives: u64,
}

#[derive(Debug)]
enum Done {
    Wrote(usize, Vec<u8>),
    Resized(usize),
}

/// The disk, as one life of the seller has it.
#[derive(Debug)]
pub(crate) struct Storage {
    platter: Platter,
    life: u64,
}

impl Platter {
    pub(crate) fn new(never_syncs: bool) -> Self {
        Self(Arc::new(Mutex::new(State { never_syncs, ..State::default() })))
    }

    pub(crate) fn storage(&self) -> Storage {
        Storage { platter: self.clone(), life: self.state().lives }
    }

    /// It fails for good after so many operations, in this life.
    pub(crate) fn break_after(&self, operations: u64) {
        self.state().breaks_after.get_or_insert(operations);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state().is_broken
    }

    /// The power goes, and comes again.
    pub(crate) fn cut(&self, random: &mut Random) {
        let mut state = self.state();
        // All, none, or some of it.
        let permille = [0, 500, 1_000][random.below(3) as usize];
        state.write_back(|| random.chance(permille));
        state.seen = state.synced.clone();
        state.lives += 1;
        (state.breaks_after, state.is_broken) = (None, false);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Puts what was done since onto the disk, sector by sector, or not, as is said of each.
    fn write_back(&mut self, mut is_written: impl FnMut() -> bool) {
        for done in std::mem::take(&mut self.since) {
            match done {
                Done::Resized(to) if is_written() => self.synced.resize(to, 0),
                Done::Resized(_) => {}
                Done::Wrote(at, bytes) => {
                    for sector in pieces(at, bytes.len()).filter(|_| is_written()) {
                        let piece = &bytes[sector.start - at..sector.end - at];
                        put(&mut self.synced, sector.start, piece);
                    }
                }
            }
        }
    }
}

/// The parts of a range that are in one sector each.
fn pieces(at: usize, length: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    let end = at + length;
    (at / SECTOR..end.div_ceil(SECTOR))
        .map(move |sector| (sector * SECTOR).max(at)..((sector + 1) * SECTOR).min(end))
}

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = at + piece.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(piece);
}

impl Storage {
    /// The disk, where it does one operation more.
    fn operate(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.platter.state();
        if state.lives != self.life || state.is_broken {
            return Err(Error::other("the disk is gone"));
        }
        if let Some(left) = state.breaks_after {
            state.breaks_after = left.checked_sub(1);
            state.is_broken = left == 0;
        }
        if state.is_broken { Err(Error::other("the disk breaks")) } else { Ok(state) }
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> Result<u64> {
        Ok(self.operate()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let (state, at) = (self.operate()?, offset as usize);
        let there = state.seen.get(at..at + out.len());
        out.copy_from_slice(there.ok_or_else(|| Error::other("there is nothing"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let (mut state, to) = (self.operate()?, length as usize);
        state.seen.resize(to, 0);
        state.since.push(Done::Resized(to));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut state = self.operate()?;
        if !state.never_syncs {
            state.write_back(|| true);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let (mut state, at) = (self.operate()?, offset as usize);
        put(&mut state.seen, at, data);
        state.since.push(Done::Wrote(at, data.to_vec()));
        Ok(())
    }
}
