//! A table that fits the terminal: what matters least goes first when there is no room.

use std::borrow::Cow;

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

/// Longer texts are shortened before a column goes, and those that are left may be shortened so far.
const LONG: usize = 24;
const SHORT: usize = 6;

/// Between two columns.
const GAP: &str = "  ";

/// The width of the terminal at standard output, if it is one.
pub(super) fn width() -> Option<usize> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// The table as text, within so much room.
pub(super) fn render(
    columns: &[Column],
    rows: &[Vec<Cell>],
    room: Option<usize>,
    colours: bool,
) -> String {
    let mut text = String::new();
    for pieces in lines(columns, rows, room) {
        let mut line = String::new();
        for Cell { text, style } in pieces {
            if colours {
                line.push_str(&format!("{style}{text}{style:#}"));
            } else {
                line.push_str(&text);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The table, its titles first: the pieces of each line, from left to right.
pub(super) fn lines(columns: &[Column], rows: &[Vec<Cell>], room: Option<usize>) -> Vec<Vec<Cell>> {
    let mut widths: Vec<_> = (0..columns.len())
        .map(|index| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let texts = cells.map(|cell| cell.text.width());
            let title = columns.get(index).map_or(0, |column| column.title.width());
            texts.chain([title]).max().unwrap_or(0)
        })
        .collect();
    let mut kept: Vec<_> = (0..columns.len()).collect();
    if let Some(room) = room {
        let goes = |index: &usize| columns.get(*index).map_or(0, |column| column.goes);
        shorten(columns, &kept, &mut widths, room, LONG);
        while total(&kept, &widths) > room
            && let Some(least) = kept.iter().map(goes).max()
            && least > 0
        {
            kept.retain(|index| goes(index) != least);
        }
        shorten(columns, &kept, &mut widths, room, SHORT);
    }
    let title = Style::new().bold();
    let titles = columns.iter().map(|column| Cell {
        text: column.title.to_owned(),
        style: title,
    });
    let titles = [titles.collect::<Vec<_>>()];
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for row in titles.iter().chain(rows) {
        let mut line: Vec<Cell> = Vec::new();
        for index in &kept {
            let (Some(cell), Some(column)) = (row.get(*index), columns.get(*index)) else {
                continue;
            };
            let width = widths.get(*index).copied().unwrap_or(0);
            let shown = cut(&cell.text, width);
            if !line.is_empty() {
                line.push(GAP.to_owned().into());
            }
            let padding = " ".repeat(width.saturating_sub(shown.width()));
            let text = Cell {
                text: shown.into_owned(),
                style: cell.style,
            };
            line.extend(match column.right {
                true => [padding.into(), text],
                false => [text, padding.into()],
            });
        }
        lines.push(line);
    }
    lines
}

/// How wide a table of these columns is.
fn total(kept: &[usize], widths: &[usize]) -> usize {
    let widths = kept.iter().filter_map(|index| widths.get(*index));
    let total: usize = widths.map(|width| width + GAP.len()).sum();
    total.saturating_sub(GAP.len())
}

/// Makes columns of text narrower, the widest first, as far as it takes and down to `least`.
fn shorten(columns: &[Column], kept: &[usize], widths: &mut [usize], room: usize, least: usize) {
    loop {
        let excess = total(kept, widths).saturating_sub(room);
        let texts = kept
            .iter()
            .filter(|index| columns.get(**index).is_some_and(|column| !column.right));
        let widest = texts.max_by_key(|index| widths.get(**index).copied());
        match widest.and_then(|index| widths.get_mut(*index)) {
            Some(width) if excess > 0 && *width > least => {
                *width = width.saturating_sub(excess).max(least);
            }
            _ => return,
        }
    }
}

/// A text of at most this width; where something is missing stands an ellipsis.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if cut.width() >= width {
            cut.pop();
            break;
        }
    }
    cut.push('…');
    cut.into()
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
    fn long_texts_are_shortened_before_columns_go() {
        let name = "a-very-long-name-that-nobody-needs-to-see-whole";
        let row = ["1", name, "x"].map(|cell| Cell::from(cell.to_owned()));
        let rows = [row.to_vec()];
        let text = render(&COLUMNS, &rows, Some(40), false);
        assert!(
            text.ends_with("a-very-long-name-that-nobody-…  x\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        let text = render(&COLUMNS, &rows, Some(12), false);
        assert_eq!(text, "id  name\n 1  a-very-…\n");
        assert_eq!(cut("東京大学", 5), "東京…");
    }

    #[test]
    fn what_matters_least_goes_first() {
        let text = render(&COLUMNS, &rows(), Some(13), false);
        assert_eq!(text, "id  name\n 1  東京\n10  api\n");
    }
}
