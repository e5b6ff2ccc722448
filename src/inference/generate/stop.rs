//! Stop strings: a text ends before the first of them, however the string is divided into tokens.

/// Passes text on up to a stop string, and holds back what may be the beginning of one.
///
/// Of several stop strings the one that ends first counts, and of those that end together the longest. So the result
/// does not depend on the pieces in which the text comes.
#[derive(Clone, Debug, Default)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopFilter {
    /// A filter that continues another, which held `held` back. Empty stop strings are ignored.
    pub fn new(stops: &[String], held: String) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held, stopped: false }
    }

    /// Append text; returns the text that can be passed on.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        if self.stopped {
            return String::new();
        }
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        let out = match found.min() {
            Some((end, start)) => {
                self.stopped = true;
                let behind = self.held.split_off(end);
                self.held.truncate(start);
                return std::mem::replace(&mut self.held, behind);
            }
            None => self.settled(),
        };
        let held = self.held.split_off(out);
        std::mem::replace(&mut self.held, held)
    }

    /// Whether a stop string has been found.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text that is held back: the beginning of a stop string, or the text after one.
    pub fn held(&self) -> &str {
        &self.held
    }

    /// End the text; returns what was held back, but nothing after a stop string.
    pub fn finish(&mut self) -> String {
        if self.stopped { String::new() } else { std::mem::take(&mut self.held) }
    }

    /// Return what is held back, because a prompt separates it from the text to come.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The number of bytes at the front in which no stop string can begin.
    fn settled(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = (self.held.len() + 1).saturating_sub(longest);
        let begins = |&at: &usize| {
            let tail = self.held.get(at..);
            tail.is_some_and(|tail| self.stops.iter().any(|stop| stop.starts_with(tail)))
        };
        (from..self.held.len()).find(begins).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The byte before which a text ends, found prefix by prefix.
    fn expected(text: &str, stops: &[String]) -> Option<usize> {
        let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
        ends.into_iter().find_map(|end| {
            let complete = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
            complete.map(|stop| end - stop.len()).min()
        })
    }

    proptest! {
        #[test]
        fn end_does_not_depend_on_the_pieces(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{1,5}", 0..4),
        ) {
            let text = pieces.concat();
            let mut filter = StopFilter::new(&stops, String::new());
            let (mut out, mut text_so_far) = (String::new(), String::new());
            for piece in &pieces {
                out.push_str(&filter.push(piece));
                text_so_far.push_str(piece);
                // Nothing is passed on too early or too late.
                let end = expected(&text_so_far, &stops);
                prop_assert_eq!(filter.stopped(), end.is_some());
                match end {
                    Some(end) => prop_assert_eq!(&out, &text_so_far[..end]),
                    None => {
                        prop_assert_eq!(format!("{out}{}", filter.held()), text_so_far.clone());
                        let held = filter.held();
                        prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(held)));
                        let may_begin = |at: usize| stops.iter().any(|stop| stop.starts_with(&text_so_far[at..]));
                        let missed = (0..out.len()).find(|&at| text_so_far.is_char_boundary(at) && may_begin(at));
                        prop_assert_eq!(missed, None);
                    }
                }
            }
            let behind = filter.held().to_string();
            out.push_str(&filter.finish());
            match expected(&text, &stops) {
                Some(end) => prop_assert!(out == text[..end] && text.ends_with(&behind)),
                None => prop_assert_eq!(out, text),
            }
        }
    }

    #[test]
    fn filter_continues_another() {
        let stops = ["</s>".to_string()];
        let mut first = StopFilter::new(&stops, String::new());
        assert_eq!(first.push("a</"), "a");
        let mut second = StopFilter::new(&stops, first.held().to_string());
        assert_eq!(
            (second.push(""), second.push("s>b").as_str(), second.stopped()),
            (String::new(), "", true)
        );
        assert_eq!(second.held(), "b");
    }
}
