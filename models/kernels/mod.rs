//! The recurrences themselves, one call for a whole sequence.

pub mod reference;
