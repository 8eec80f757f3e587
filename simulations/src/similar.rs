//! Names that were meant: what somebody mistyped, found among the names that there are.

/// The names of a list that look most like another: at most two edits away, or one the beginning of the other.
pub fn similar<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let near = |other: &&str| {
        let begins = name.len() >= 3 && (other.starts_with(name) || name.starts_with(*other) && other.len() >= 3);
        begins || distance(name, other) <= (name.chars().count() / 3).clamp(1, 2)
    };
    let mut found: Vec<String> = names.into_iter().filter(near).map(str::to_owned).collect();
    found.sort_by_key(|other| (distance(name, other), other.clone()));
    found.truncate(3);
    found
}

/// How many letters to insert, remove or replace to make one name from the other (Levenshtein 1965). Case does not count.
fn distance(one: &str, other: &str) -> usize {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let (one, other) = (lower(one), lower(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_found() {
        let names = ["backend", "frontend", "back", "payments", "setWeight"];
        assert_eq!(similar("bakend", names), ["backend"]);
        assert_eq!(similar("setweigth", names), ["setWeight"]);
        assert_eq!(similar("backend-v2", names), ["backend", "back"]);
        assert_eq!(similar("zzz", names), Vec::<String>::new());
    }
}
