//! Drawing: from the state to the cells of a terminal, whatever its size.

use std::collections::VecDeque;

use anstyle::{AnsiColor, Color as Anstyle, Effects};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{RenderDirection, Sparkline, Widget};

use super::super::shown;
use super::super::table::{self, Cell};
use super::rows;
use super::state::State;
use home::control::State as Does;

const KEYS: &str = "↑↓ choose  r restart  l reload  s stop  +/- scale  q quit";

/// Lines of the graphs, with their titles.
const GRAPHS: u16 = 3;

/// Below this height there are no graphs, and below that no log.
const HEIGHT_OF_GRAPHS: u16 = 14;
const HEIGHT_OF_LOG: u16 = 8;

/// Draws everything.
pub(super) fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let canvas = &mut Canvas {
        colours: state.colours,
        buffer,
    };
    let mut rest = area;
    let bottom = take_bottom(&mut rest, 1);
    footer(state, bottom, canvas);
    if rest.height > 2 {
        title(state, take_top(&mut rest, 1), canvas);
    }
    let lines = u16::try_from(rows::all(state).len()).unwrap_or(u16::MAX);
    let wanted = lines.saturating_add(1).max(2);
    let has_log = area.height >= HEIGHT_OF_LOG;
    let has_graphs = area.height >= HEIGHT_OF_GRAPHS;
    let most = match (has_log, has_graphs) {
        (false, _) => rest.height,
        (true, false) => rest.height / 2,
        (true, true) => (rest.height.saturating_sub(GRAPHS)) / 2,
    };
    apps(state, take_top(&mut rest, wanted.min(most)), canvas);
    if has_graphs {
        graphs(state, take_top(&mut rest, GRAPHS), canvas);
    }
    if has_log {
        log(state, rest, canvas);
    }
}

/// Where is drawn, and whether in colour.
struct Canvas<'a> {
    colours: bool,
    buffer: &'a mut Buffer,
}

impl Canvas<'_> {
    /// Writes text at a column of an area's line; the column behind it.
    fn put(&mut self, area: Rect, line: u16, column: u16, text: &str, style: Style) -> u16 {
        if line >= area.height || column >= area.width {
            return column;
        }
        let room = usize::from(area.width - column);
        let (x, y) = (area.x + column, area.y + line);
        let style = if self.colours {
            style
        } else {
            Style {
                fg: None,
                bg: None,
                ..style
            }
        };
        let (end, _) = self.buffer.set_stringn(x, y, text, room, style);
        end.saturating_sub(area.x)
    }
}

fn take_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let top = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    top
}

fn take_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What is asked, what has come of the last order, or which keys there are.
fn footer(state: &State, area: Rect, canvas: &mut Canvas<'_>) {
    if let Some(order) = &state.asked {
        let question = format!("{} y = yes, any other key = no", order.question());
        canvas.put(
            area,
            0,
            0,
            &question,
            bold().add_modifier(Modifier::REVERSED),
        );
    } else if let Some(message) = &state.message {
        canvas.put(area, 0, 0, message, bold());
    } else {
        canvas.put(area, 0, 0, KEYS, dim());
    }
}

fn title(state: &State, area: Rect, canvas: &mut Canvas<'_>) {
    let after = canvas.put(area, 0, 0, "maitred", bold());
    let Some(sample) = &state.sample else {
        canvas.put(area, 0, after + 2, "looking …", dim());
        return;
    };
    let instances = || sample.apps.iter().flat_map(|app| &app.instances);
    let online = instances().filter(|(view, _)| view.state == Does::Online);
    let apps = match sample.apps.len() {
        1 => "1 app".to_owned(),
        count => format!("{count} apps"),
    };
    let counts = format!(
        "{apps}, {} of {} instances online",
        online.count(),
        instances().count()
    );
    canvas.put(area, 0, after + 2, &counts, Style::new());
}

/// The table, so far down that the chosen row is seen.
fn apps(state: &State, area: Rect, canvas: &mut Canvas<'_>) {
    let rows = rows::all(state);
    let Some(sample) = state.sample.as_ref().filter(|_| !rows.is_empty()) else {
        if state.sample.is_some() {
            canvas.put(area, 0, 0, "no apps; `maitred start` adds one", dim());
        }
        return;
    };
    let cells: Vec<_> = rows.iter().map(|row| row.cells(sample.now)).collect();
    let lines = table::lines(&rows::COLUMNS, &cells, Some(usize::from(area.width)));
    let mut lines = lines.into_iter();
    if area.height > 1
        && let Some(titles) = lines.next()
    {
        put_cells(&titles, area, 0, Style::new(), canvas);
    }
    let mut body = area;
    take_top(&mut body, u16::from(area.height > 1));
    let room = usize::from(body.height);
    let at = state.at();
    let first = at
        .saturating_sub(room / 2)
        .min(rows.len().saturating_sub(room));
    let lines = if area.height > 1 {
        lines.collect::<Vec<_>>()
    } else {
        lines.skip(1).collect()
    };
    for (index, line) in lines.iter().enumerate().skip(first).take(room) {
        let style = if index == at {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        let y = u16::try_from(index - first).unwrap_or(u16::MAX);
        put_cells(line, body, y, style, canvas);
    }
}

fn put_cells(cells: &[Cell], area: Rect, line: u16, style: Style, canvas: &mut Canvas<'_>) {
    let mut column = 0;
    for cell in cells {
        column = canvas.put(area, line, column, &cell.text, of(cell.style).patch(style));
    }
    if style.add_modifier.contains(Modifier::REVERSED) {
        // The whole line stands out.
        let room = usize::from(area.width.saturating_sub(column));
        canvas.put(area, line, column, &" ".repeat(room), style);
    }
}

/// The same style for a cell of the terminal.
fn of(style: anstyle::Style) -> Style {
    let mut own = Style::new();
    if let Some(Anstyle::Ansi(colour)) = style.get_fg_color() {
        own = own.fg(match colour {
            AnsiColor::Green => Color::Green,
            AnsiColor::Yellow => Color::Yellow,
            AnsiColor::Red => Color::Red,
            _ => Color::Reset,
        });
    }
    if style.get_effects().contains(Effects::BOLD) {
        own = own.add_modifier(Modifier::BOLD);
    }
    own
}

/// What the chosen app has used and served, side by side.
fn graphs(state: &State, area: Rect, canvas: &mut Canvas<'_>) {
    let Some(app) = state.chosen_app() else {
        return;
    };
    let Some(history) = state.histories.get(app.known.folder.path()) else {
        return;
    };
    let left = Rect {
        width: area.width / 2,
        ..area
    };
    let right = Rect {
        x: area.x + left.width,
        width: area.width - left.width,
        ..area
    };
    let last = |values: &VecDeque<u64>| values.back().copied().unwrap_or(0);
    let name = shown::plain(&app.known.record.app.name);
    let cpu = last(&history.cpu);
    let cpu = format!("{name}: CPU {}.{}%", cpu / 10, cpu % 10);
    // Of a processor, so that little looks little.
    graph(&cpu, &history.cpu, 1000, left, canvas);
    let what = match app.known.record.app.requests {
        Some(_) => "requests",
        None => "connections",
    };
    let served = format!("{what}/s {}", last(&history.served));
    graph(&served, &history.served, 1, right, canvas);
}

/// The newest values, the last one at the right; `least` is the value that is as high as the graph if
/// none is larger.
fn graph(title: &str, values: &VecDeque<u64>, least: u64, area: Rect, canvas: &mut Canvas<'_>) {
    let mut area = Rect {
        // A gap to what stands beside it.
        width: area.width.saturating_sub(1),
        ..area
    };
    canvas.put(take_top(&mut area, 1), 0, 0, title, bold());
    if area.is_empty() {
        return;
    }
    let newest = values.iter().rev().take(usize::from(area.width));
    let data: Vec<_> = newest.copied().collect();
    let highest = data.iter().copied().max().unwrap_or(0).max(least);
    let style = match canvas.colours {
        true => Style::new().fg(Color::Cyan),
        false => Style::new(),
    };
    Sparkline::default()
        .data(&data)
        .direction(RenderDirection::RightToLeft)
        .max(highest)
        .style(style)
        .render(area, canvas.buffer);
}

/// The end of the chosen app's log.
fn log(state: &State, mut area: Rect, canvas: &mut Canvas<'_>) {
    let name = state.chosen_app();
    let name = name.map_or_else(String::new, |app| shown::plain(&app.known.record.app.name));
    canvas.put(take_top(&mut area, 1), 0, 0, &format!("log {name}"), bold());
    let first = state.log.len().saturating_sub(usize::from(area.height));
    for (line, text) in (0..).zip(state.log.iter().skip(first)) {
        canvas.put(area, line, 0, &shown::plain(text), Style::new());
    }
}

#[cfg(test)]
mod tests;
