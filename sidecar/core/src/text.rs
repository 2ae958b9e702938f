//! Text of foreign origin.

use std::borrow::Cow;

/// Text of foreign origin, fit for a header-free line: Entra's own line breaks and anything else unprintable become a
/// space, whatever looks like a JWT is cut out, and the length is bounded.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 4096;
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        // `eyJ` is how base64 begins for `{"`, and so every JWT.
        match word.find("eyJ") {
            Some(start) => {
                line.push_str(&word[..start]);
                line.push_str("[redacted]");
            }
            None => line.push_str(word),
        }
        if line.len() >= LONGEST {
            break;
        }
    }
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
    }
    line
}

/// As much of a wrong value as its author needs to find it again.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    cut(text, 64)
}

/// The text, or its first `longest` bytes and a mark that more followed.
pub fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(longest)]).into()
}

/// A name of foreign origin, such as an error's code or a request's id: of [`one_line`] what names are made of (ASCII
/// letters, digits, `_`, `.` and `-`), and no more than 64 of it.
pub fn name(text: &str) -> String {
    let part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    one_line(text).chars().filter(part).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_names() {
        let long = "x".repeat(100_000);
        for (text, expected) in [
            ("invalid_client", "invalid_client"),
            ("11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555"),
            ("a\r\nb\"<c>ü", "abc"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "redacted"),
            (&long, &long[..64]),
            ("", ""),
        ] {
            assert_eq!(name(text), expected);
        }
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt("client"), "client");
        let long = excerpt(&"ü".repeat(33)).into_owned();
        assert_eq!(long, format!("{}…", "ü".repeat(32)));
    }

    #[test]
    fn foreign_text_is_made_harmless() {
        for (text, line) in [
            ("a\r\nb\t\u{0}c  d ", "a b c d"),
            ("assertion 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln' refused", "assertion '[redacted] refused"),
            ("", ""),
            ("ü\u{85}ö", "ü ö"),
        ] {
            assert_eq!(one_line(text), line);
        }
        let long = one_line(&"ü".repeat(5_000));
        assert!(long.len() <= 4_096 && long.chars().all(|c| c == 'ü'));
    }
}
