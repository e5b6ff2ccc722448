//! Normalization of text before it is cut into tokens: line ends, Unicode form, lower case.
//!
//! The steps are saved as the normalizer of `tokenizer.json`, so other tools apply them too. They are applied in this
//! order, each if it is set:
//!
//! | step | type in `tokenizer.json` |
//! |---|---|
//! | line ends become those of the training text | `Replace` |
//! | Unicode normal form, composed or decomposed | `NFC` or `NFD` |
//! | lower case | `Lowercase` |

use std::borrow::Cow;

use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{Lowercase, NFC, NFD, NormalizerWrapper, Sequence};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc, is_nfc_quick, is_nfd, is_nfd_quick};

/// A line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// `\n`, Unix.
    Lf,
    /// `\r\n`, Windows.
    CrLf,
    /// `\r`, old Macintosh.
    Cr,
}

/// A Unicode normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnicodeForm {
    /// Composed characters.
    Nfc,
    /// Decomposed characters.
    Nfd,
}

/// The steps that a tokenizer applies to text before it cuts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Normalizer {
    /// The line end that all others become; `None` leaves them.
    pub(super) line_end: Option<LineEnd>,
    /// The form that text is converted to; `None` leaves it.
    pub(super) form: Option<UnicodeForm>,
    /// Whether text is converted to lower case.
    pub(super) lowercase: bool,
}

/// Replace every line end, `\r\n`, `\r` and `\n`, by `\n`.
pub fn fold_line_ends(text: &str) -> Cow<'_, str> {
    LineEnd::Lf.fold(text)
}

impl LineEnd {
    const ALL: [Self; 3] = [Self::Lf, Self::CrLf, Self::Cr];

    /// The characters of the line end.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }

    /// A regular expression of the line ends that are replaced. That of `Lf` leaves `\n` out, which is faster.
    fn pattern(self) -> &'static str {
        match self {
            Self::Lf => r"\r\n?",
            Self::CrLf | Self::Cr => r"\r\n|\r|\n",
        }
    }

    fn fold(self, text: &str) -> Cow<'_, str> {
        if !text.contains('\r') && (self == Self::Lf || !text.contains('\n')) {
            return Cow::Borrowed(text);
        }
        let mut folded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['\r', '\n']) {
            folded.push_str(&rest[..at]);
            folded.push_str(self.text());
            let length = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
            rest = &rest[at + length..];
        }
        folded.push_str(rest);
        Cow::Owned(folded)
    }

    /// The normalizer that converts line ends to this one, then does what `other` does.
    pub(super) fn before(self, other: Option<NormalizerWrapper>) -> Option<NormalizerWrapper> {
        let steps = std::iter::once(self.step()).chain(other).collect();
        Some(NormalizerWrapper::Sequence(Sequence::new(steps)))
    }

    fn step(self) -> NormalizerWrapper {
        let pattern = ReplacePattern::Regex(self.pattern().into());
        let replace = Replace::new(pattern, self.text()).expect("invariant: the pattern is valid");
        NormalizerWrapper::Replace(replace)
    }
}

impl UnicodeForm {
    /// Both forms.
    pub(super) const ALL: [Self; 2] = [Self::Nfc, Self::Nfd];

    /// The name in Unicode Standard Annex 15.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nfc => "NFC",
            Self::Nfd => "NFD",
        }
    }

    /// Convert a text to this form.
    pub(super) fn of(self, text: &str) -> Cow<'_, str> {
        let quick = match self {
            _ if text.is_ascii() => IsNormalized::Yes,
            Self::Nfc => is_nfc_quick(text.chars()),
            Self::Nfd => is_nfd_quick(text.chars()),
        };
        match (quick, self) {
            (IsNormalized::Yes, _) => Cow::Borrowed(text),
            (_, Self::Nfc) => Cow::Owned(text.nfc().collect()),
            (_, Self::Nfd) => Cow::Owned(text.nfd().collect()),
        }
    }

    fn step(self) -> NormalizerWrapper {
        match self {
            Self::Nfc => NormalizerWrapper::NFC(NFC),
            Self::Nfd => NormalizerWrapper::NFD(NFD),
        }
    }
}

impl Normalizer {
    /// Apply all steps.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = self.apply_but_case(text);
        match self.lowercase {
            // Each code point on its own, including a final sigma, as the tokenizers library does.
            true => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
            false => text,
        }
    }

    /// Apply all steps except lower case.
    pub(super) fn apply_but_case<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = self.line_end.map_or(Cow::Borrowed(text), |line_end| line_end.fold(text));
        match (self.form, text) {
            (None, text) => text,
            (Some(form), Cow::Borrowed(text)) => form.of(text),
            (Some(form), Cow::Owned(text)) => Cow::Owned(form.of(&text).into_owned()),
        }
    }

    /// The normalizer of `tokenizer.json`; `None` without steps.
    pub(super) fn to_wrapper(self) -> Option<NormalizerWrapper> {
        let line_end = self.line_end.map(LineEnd::step);
        let case = self.lowercase.then_some(NormalizerWrapper::Lowercase(Lowercase));
        let mut steps: Vec<_> =
            line_end.into_iter().chain(self.form.map(UnicodeForm::step)).chain(case).collect();
        match steps.len() {
            0 | 1 => steps.pop(),
            _ => Some(NormalizerWrapper::Sequence(Sequence::new(steps))),
        }
    }

    /// The inverse of [`Normalizer::to_wrapper`]; `None` if `wrapper` has other steps or another order.
    pub(super) fn from_wrapper(wrapper: Option<&NormalizerWrapper>) -> Option<Self> {
        let mut steps = match wrapper {
            None => &[],
            Some(NormalizerWrapper::Sequence(sequence)) => sequence.as_ref(),
            Some(step) => std::slice::from_ref(step),
        };
        let mut normalizer = Self::default();
        if let [NormalizerWrapper::Replace(replace), rest @ ..] = steps {
            let is_step =
                |end: &LineEnd| matches!(end.step(), NormalizerWrapper::Replace(r) if r == *replace);
            normalizer.line_end = Some(LineEnd::ALL.into_iter().find(is_step)?);
            steps = rest;
        }
        if let [first @ (NormalizerWrapper::NFC(_) | NormalizerWrapper::NFD(_)), rest @ ..] = steps {
            let composed = matches!(first, NormalizerWrapper::NFC(_));
            normalizer.form = Some(if composed { UnicodeForm::Nfc } else { UnicodeForm::Nfd });
            steps = rest;
        }
        if let [NormalizerWrapper::Lowercase(_), rest @ ..] = steps {
            normalizer.lowercase = true;
            steps = rest;
        }
        steps.is_empty().then_some(normalizer)
    }
}

/// Finds the Unicode form of a text that is read in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormDetector {
    composed: bool,
    decomposed: bool,
}

impl FormDetector {
    pub(super) fn new() -> Self {
        Self { composed: true, decomposed: true }
    }

    /// Read a piece of the text.
    pub(super) fn read(&mut self, text: &str) {
        if !text.is_ascii() {
            self.composed = self.composed && is_nfc(text);
            self.decomposed = self.decomposed && is_nfd(text);
        }
    }

    /// The only form that all text is in; `None` if it is in both, as ASCII is, or in neither.
    pub(super) fn form(self) -> Option<UnicodeForm> {
        match self {
            Self { composed: true, decomposed: false } => Some(UnicodeForm::Nfc),
            Self { composed: false, decomposed: true } => Some(UnicodeForm::Nfd),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_becomes_the_same() {
        for (end, expected) in [(LineEnd::Lf, "\n"), (LineEnd::CrLf, "\r\n"), (LineEnd::Cr, "\r")] {
            for text in ["a\nb\n\nc", "a\r\nb\r\n\r\nc", "a\rb\r\rc", "a\r\nb\n\rc"] {
                assert_eq!(end.fold(text), ["a", "b", "", "c"].join(expected), "{text:?}");
            }
        }
        assert!(matches!(fold_line_ends("a\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn steps_survive_the_file_format() {
        for line_end in [None, Some(LineEnd::Lf), Some(LineEnd::CrLf), Some(LineEnd::Cr)] {
            for form in [None, Some(UnicodeForm::Nfc), Some(UnicodeForm::Nfd)] {
                for lowercase in [false, true] {
                    let normalizer = Normalizer { line_end, form, lowercase };
                    let wrapper = normalizer.to_wrapper();
                    assert_eq!(Normalizer::from_wrapper(wrapper.as_ref()), Some(normalizer));
                }
            }
        }
        let other = Sequence::new(vec![UnicodeForm::Nfc.step(), LineEnd::Lf.step()]);
        assert_eq!(Normalizer::from_wrapper(Some(&NormalizerWrapper::Sequence(other))), None);
    }

    #[test]
    fn form_is_found_only_where_all_text_has_it() {
        let (composed, decomposed) = ("한 é", "\u{1112}\u{1161}\u{11ab} e\u{301}");
        let form = |pieces: &[&str]| {
            let mut detector = FormDetector::new();
            pieces.iter().for_each(|piece| detector.read(piece));
            detector.form()
        };
        assert_eq!(form(&["ascii", composed]), Some(UnicodeForm::Nfc));
        assert_eq!(form(&[decomposed, "ascii"]), Some(UnicodeForm::Nfd));
        assert_eq!(form(&["ascii", "漢字"]), None);
        assert_eq!(form(&[composed, decomposed]), None);
        assert_eq!(UnicodeForm::Nfc.of(decomposed), composed);
        assert_eq!(UnicodeForm::Nfd.of(composed), decomposed);
    }
}
