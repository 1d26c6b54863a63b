//! Tests that cross crates. What README shows is run here, too.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
