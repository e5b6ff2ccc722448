//! The most probable extensions of texts by one token.

use std::cmp::Ordering;

use crate::{Error, Result};

/// A text of a beam, by its number, and a token to extend it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// The log-probability of the extended text.
    pub logprob: f64,
    /// The number of the text.
    pub parent: usize,
    /// The token.
    pub token: u32,
}

impl Candidate {
    /// The order from the most to the least probable. Ties are broken by number, so that equal scores give equal
    /// texts on every machine.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let ties = || (self.parent, self.token).cmp(&(other.parent, other.token));
        other.logprob.total_cmp(&self.logprob).then_with(ties)
    }
}

/// Check the options of a search in a beam of at most `most` texts.
///
/// # Errors
/// If `beams` is not within 1 to `most`, or `length_penalty` is not finite; the error names the field.
pub(crate) fn check_options(beams: usize, most: usize, length_penalty: f64) -> Result<()> {
    if !(1..=most).contains(&beams) {
        return Err(Error::invalid("beams", format!("{beams}; expected 1 to {most}")));
    }
    if !length_penalty.is_finite() {
        let problem = format!("{length_penalty} is not an exponent; expected a finite number, 1 as a rule");
        return Err(Error::invalid("length_penalty", problem));
    }
    Ok(())
}

/// The scores of the next token of a text.
#[derive(Clone, Copy)]
pub(crate) struct Extensions<'a> {
    /// The number of the text.
    pub parent: usize,
    /// The difference between the log-probability of an extended text and the score of its last token.
    pub offset: f64,
    /// The scores, one for each token.
    pub scores: &'a [f32],
}

/// The first `most` candidates after `last`, in their order, of `allowed` tokens only. Tokens with a probability
/// of 0 or NaN are left out.
pub(crate) fn best<'a>(
    most: usize,
    last: Option<&Candidate>,
    texts: impl Iterator<Item = Extensions<'a>>,
    allowed: impl Fn(u32) -> bool,
) -> Vec<Candidate> {
    let mut best: Vec<Candidate> = vec![];
    // The last of the best `most` so far, once there are as many.
    let mut worst: Option<Candidate> = None;
    for Extensions { parent, offset, scores } in texts {
        for (token, &score) in (0..).zip(scores) {
            let candidate = Candidate { logprob: f64::from(score) + offset, parent, token };
            if candidate.logprob > f64::NEG_INFINITY
                && worst.is_none_or(|worst| candidate.order(&worst).is_lt())
                && last.is_none_or(|last| candidate.order(last).is_gt())
                && allowed(token)
            {
                best.push(candidate);
                if best.len() == 2 * most {
                    worst = Some(*best.select_nth_unstable_by(most - 1, Candidate::order).1);
                    best.truncate(most);
                }
            }
        }
    }
    best.sort_unstable_by(Candidate::order);
    best.truncate(most);
    best
}
