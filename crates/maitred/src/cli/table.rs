//! A table that fits the terminal: what matters least goes first when there is no room.

use std::io::Write;

use anstyle::Style;
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Numbers end at the same place.
    pub(super) right: bool,
    /// The higher, the earlier it goes when there is no room; 0 never goes.
    pub(super) goes: u8,
}

/// A value, and how it looks where there are colours.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        let style = Style::new();
        Self { text, style }
    }
}

/// Between two columns.
const GAP: &str = "  ";

/// The width of the terminal at standard output, if it is one.
pub(super) fn width() -> Option<usize> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Writes the table. A reader who is gone does not matter.
pub(super) fn print(columns: &[Column], rows: &[Vec<Cell>], colours: bool) {
    let text = render(columns, rows, width(), colours);
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn render(columns: &[Column], rows: &[Vec<Cell>], room: Option<usize>, colours: bool) -> String {
    let widths: Vec<_> = (0..columns.len())
        .map(|index| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let texts = cells.map(|cell| cell.text.width());
            let title = columns.get(index).map_or(0, |column| column.title.width());
            texts.chain([title]).max().unwrap_or(0)
        })
        .collect();
    let mut kept: Vec<_> = columns.iter().zip(&widths).enumerate().collect();
    let total = |kept: &[(usize, (&Column, &usize))]| {
        let widths: usize = kept.iter().map(|(_, (_, width))| **width + GAP.len()).sum();
        widths.saturating_sub(GAP.len())
    };
    while let Some(room) = room
        && total(&kept) > room
        && let Some(least) = kept.iter().map(|(_, (column, _))| column.goes).max()
        && least > 0
    {
        kept.retain(|(_, (column, _))| column.goes != least);
    }
    let mut text = String::new();
    let title = Style::new().bold();
    let titles = columns.iter().map(|column| Cell {
        text: column.title.to_owned(),
        style: title,
    });
    let titles = [titles.collect::<Vec<_>>()];
    for row in titles.iter().chain(rows) {
        let mut line = String::new();
        for (index, (column, width)) in &kept {
            let Some(cell) = row.get(*index) else {
                continue;
            };
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let padding = " ".repeat(width.saturating_sub(cell.text.width()));
            let (before, after) = if column.right {
                (padding.as_str(), "")
            } else {
                ("", padding.as_str())
            };
            line.push_str(before);
            if colours {
                line.push_str(&format!("{}{}{:#}", cell.style, cell.text, cell.style));
            } else {
                line.push_str(&cell.text);
            }
            line.push_str(after);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column {
            title: "id",
            right: true,
            goes: 0,
        },
        Column {
            title: "name",
            right: false,
            goes: 0,
        },
        Column {
            title: "more",
            right: false,
            goes: 1,
        },
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |cells: [&str; 3]| cells.map(|cell| Cell::from(cell.to_owned())).to_vec();
        vec![row(["1", "東京", "x"]), row(["10", "api", "y"])]
    }

    #[test]
    fn columns_stand_below_each_other() {
        let text = render(&COLUMNS, &rows(), None, false);
        assert_eq!(text, "id  name  more\n 1  東京  x\n10  api   y\n");
    }

    #[test]
    fn what_matters_least_goes_first() {
        let text = render(&COLUMNS, &rows(), Some(13), false);
        assert_eq!(text, "id  name\n 1  東京\n10  api\n");
    }
}
