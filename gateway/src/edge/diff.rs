//! Two texts, line by line.

/// What has to be taken out of `old` (`-`) and put into it (`+`) so that it is `new`; empty when it is. For files of some
/// hundred lines: time and memory grow with the product of both.
pub(crate) fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // `common[i][j]`: how many lines the rest of `old` from i and of `new` from j have in common, in order.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    let at =
        |common: &[Vec<u32>], i: usize, j: usize| common.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default();
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let longest = match old.get(i) == new.get(j) {
                true => at(&common, i + 1, j + 1) + 1,
                false => at(&common, i + 1, j).max(at(&common, i, j + 1)),
            };
            if let Some(cell) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = longest;
            }
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    loop {
        let mut line = |sign, line: &str, at: &mut usize| {
            *at += 1;
            text.extend([sign, line, "\n"]);
        };
        match (old.get(i), new.get(j)) {
            (None, None) => return text,
            (Some(same), Some(other)) if same == other => (i, j) = (i + 1, j + 1),
            (Some(gone), Some(_)) if at(&common, i + 1, j) >= at(&common, i, j + 1) => line("-", gone, &mut i),
            (Some(gone), None) => line("-", gone, &mut i),
            (_, Some(come)) => line("+", come, &mut j),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn what_differs_is_shown_in_order() {
        assert_eq!(diff("a\nb\nc\n", "a\nb\nc\n"), "");
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\nd\n"), "-b\n+x\n+d\n");
        assert_eq!(diff("", "a\n"), "+a\n");
        assert_eq!(diff("a\n", ""), "-a\n");
        assert_eq!(diff("a\nb\na\n", "b\na\nb\n"), "-a\n+b\n");
    }
}
