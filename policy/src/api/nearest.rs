//! The known name closest to a mistyped one.

/// The candidate within two edits (a third of its length, if that is more) of `name`, or `None`. Case is ignored.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len() / 3).max(2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for ((other, above), diagonal) in to.iter().zip(row.iter().skip(1)).zip(row.iter()) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(*other != letter));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_typing_error_finds_the_name_that_was_meant() {
        let known = ["headerName", "secretKey", "secretRef", "target"];
        for (typed, meant) in [
            ("headername", Some("headerName")),
            ("secretkey ", Some("secretKey")),
            ("tagret", Some("target")),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest("extraordinary", known), None);
    }

    #[test]
    fn an_edit_is_a_letter_added_left_out_or_changed() {
        for (from, to, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "xabc", 1),
            ("abc", "ac", 1),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(from, to), edits, "{from} to {to}");
        }
    }

    #[test]
    fn two_edits_are_forgiven_and_of_long_names_a_third() {
        for (typed, known, is_meant) in [
            ("abcxy", "abc", true),
            ("abcxyz", "abc", false),
            ("abcdefghi", "abcdefghixyz", true),
            ("abcdefgh", "abcdefghixyz", true),
            ("abcdefg", "abcdefghixyz", false),
        ] {
            assert_eq!(nearest(typed, [known]).is_some(), is_meant, "{typed} for {known}");
        }
        assert_eq!(
            nearest("abd", ["abcd", "abe", "xyz"]),
            Some("abcd"),
            "of equally near ones the first by name"
        );
    }
}
