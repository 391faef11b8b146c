//! Columns of text.

/// Rows with their cells padded to the widest of each column.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(i, cell)| {
                let pad = width(i).unwrap_or_default().saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(pad))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let rows = [vec!["a".into(), "route".into()], vec!["long".into(), "x".into()]];
        assert_eq!(columns(&rows), ["a     route", "long  x"]);
    }
}
