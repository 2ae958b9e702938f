//! Admission warnings, within what the API server lets through.

use std::fmt;

/// The longest warning that the API server does not cut
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response>).
pub const LONGEST: usize = 256;

/// The most warnings of one answer: the API server passes on 4,096 bytes of them.
pub const MOST: usize = 16;

/// Leaves out what the API server would not pass on. A pod may be wrong in thousands of places, and its author's
/// request must not cost the webhook's memory.
pub fn limit(warnings: &mut Vec<Warning>) {
    if warnings.len() > MOST {
        warnings.truncate(MOST - 1);
        warnings.push(Warning::new("there are more warnings, which are left out"));
    }
}

/// What cannot have been meant of these, in one text; `None` where there is no such thing.
pub fn mistakes(warnings: &[Warning]) -> Option<String> {
    let mut mistakes: Vec<_> = warnings.iter().filter(|warning| warning.is_mistake()).take(MOST + 1).cloned().collect();
    limit(&mut mistakes);
    let texts: Vec<_> = mistakes.iter().map(Warning::as_str).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// One line for whoever creates the object, at most [`LONGEST`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    text: String,
    mistake: bool,
}

impl Warning {
    /// Something to know, which its author may well have meant; the text is cut at a character's edge where it is too
    /// long.
    pub fn new(text: impl Into<String>) -> Self {
        Self::cut(text.into(), false)
    }

    /// Something that cannot have been meant: what strict installations refuse.
    pub fn mistake(text: impl Into<String>) -> Self {
        Self::cut(text.into(), true)
    }

    fn cut(mut text: String, mistake: bool) -> Self {
        // Names are judged by the API server after us, and may hold anything; it drops a warning with such a character.
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, " ");
        }
        if text.len() > LONGEST {
            let mut end = LONGEST - '…'.len_utf8();
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        Self { text, mistake }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a strict installation refuses the object because of it.
    pub fn is_mistake(&self) -> bool {
        self.mistake
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_end_in_one_that_says_so() {
        for (given, left) in [(0, 0), (MOST, MOST), (MOST + 1, MOST), (1000, MOST)] {
            let mut warnings = vec![Warning::new("w"); given];
            limit(&mut warnings);
            assert_eq!(warnings.len(), left);
            let cut = warnings.last().is_some_and(|last| last.as_str().starts_with("there are more"));
            assert_eq!(cut, given > MOST);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let warning = Warning::new("ä".repeat(200));
        assert!(warning.as_str().len() <= LONGEST);
        assert!(warning.as_str().ends_with("ä…"));
        assert_eq!(Warning::new("short").as_str(), "short");
    }

    #[test]
    fn it_is_one_line_whatever_names_hold() {
        assert_eq!(Warning::mistake("key a\r\nb\u{0}\u{85}c\u{7f}").as_str(), "key a  b  c ");
    }
}
