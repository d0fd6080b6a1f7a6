//! Reads `docs/errors.md`: the document itself says what a case must see.

/// A row of a table whose first cell is an id such as `E-PORT-BUSY`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// Quoted texts of the column "what you see"; `…` stands for what varies.
    pub(crate) sees: Vec<String>,
}

/// All rows with an id, in order. A row of another form, or one that quotes nothing, is a mistake in the document.
pub(crate) fn rows(markdown: &str) -> Vec<Row> {
    let rows = markdown.lines().filter(|line| line.starts_with("| E-"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, _situation, sees, _why, _remedy] = cells[..] else {
            panic!("not five columns: {line}");
        };
        let sees = quotes(sees);
        assert!(!sees.is_empty(), "{id} quotes nothing that is seen");
        Row { id: id.to_owned(), sees }
    })
    .collect()
}

/// Code spans: between runs of equally many backticks (CommonMark, 6.1), so that a span may hold backticks itself.
fn quotes(cell: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let opened = &rest[start..];
        let fence = &opened[..opened.len() - opened.trim_start_matches('`').len()];
        let inner = &opened[fence.len()..];
        let Some(end) = inner.find(fence) else { panic!("a quote without an end: {cell}") };
        found.push(inner[..end].trim().to_owned());
        rest = &inner[end + fence.len()..];
    }
    found
}

/// Whether a quoted text is in what was seen: its parts between `…`, in this order.
pub(crate) fn is_in(quoted: &str, seen: &str) -> bool {
    let mut rest = seen;
    quoted.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn quotes_match_in_order_with_gaps() {
    assert!(is_in("key `x`: … is not", "error: key `x`: 3 is not good"));
    assert!(!is_in("is not … key", "key is not"));
    assert!(is_in("exit 3", "…\nexit 3"));
    assert_eq!(quotes("`a …` and ``unknown key `b` ``"), ["a …", "unknown key `b`"]);
    let found = rows("| E-A | s | `one` and `two …` | w | d |\n| id | x |");
    assert_eq!((found.len(), found[0].sees.len()), (1, 2));
}
