"""The blocks of a page: commands with their output, and files."""

import re
from dataclasses import dataclass, field

from .reasons import REASONS

COMMANDS = ("console", "sh")
LANGUAGES = (*COMMANDS, "bash", "dockerfile", "haproxy", "http", "ini", "js", "json", "nginx", "python", "text",
             "toml", "ts", "yaml")


class Wrong(Exception):
    """A page that does not follow the rules, or a command that did not do what the page says."""


@dataclass
class Step:
    """A command, and the lines that it shows."""
    line: int
    command: str
    shows: list = field(default_factory=list)


@dataclass
class Block:
    line: int
    language: str
    words: dict
    text: list

    @property
    def needs(self):
        return self.words.get("needs")

    @property
    def file(self):
        return self.words.get("file")

    def steps(self):
        """The commands of the block."""
        if self.language == "sh":
            return [Step(self.line, "\n".join(self.text))]
        steps = []
        for number, line in enumerate(self.text, self.line + 1):
            if steps and not steps[-1].shows and steps[-1].command.endswith("\\"):
                steps[-1].command += "\n" + line
            elif line.startswith("$ "):
                steps.append(Step(number, line[2:]))
            elif steps:
                steps[-1].shows.append(line)
            else:
                raise Wrong(f"line {number}: output before the first command")
        return steps


def fence_of(line, number):
    language, *words = line.strip().removeprefix("```").split()
    words = dict(word.partition("=")[::2] for word in words)
    if language not in LANGUAGES:
        raise Wrong(f"line {number}: the language {language!r} is none of {', '.join(LANGUAGES)}")
    if unknown := words.keys() - {"file", "needs", "exits", "stays"}:
        raise Wrong(f"line {number}: unknown words after the language: {', '.join(unknown)}")
    if "needs" in words and words["needs"] not in REASONS:
        raise Wrong(f"line {number}: needs={words['needs']} has no reason in reasons.py")
    return language, words


def blocks(text):
    """The blocks of a page, in order."""
    found = []
    inside = None
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside is not None and line.strip() == "```":
            found.append(inside)
            inside = None
        elif inside is not None:
            inside.text.append(line.removeprefix(indent))
        elif line.lstrip().startswith("```"):
            if line.strip() == "```":
                raise Wrong(f"line {number}: a fence without a language")
            indent = re.match(" *", line).group()
            inside = Block(number, *fence_of(line, number), [])
        elif line.startswith("    ") and not before.strip():
            raise Wrong(f"line {number}: indented code; use a fence with a language")
        before = line
    if inside is not None:
        raise Wrong(f"line {inside.line}: a fence that does not end")
    return found


def pattern(shows):
    """What matches the shown output: `…` is any text in a line, and any lines where it is alone."""
    lines = []
    for line in shows:
        if line.strip() == "…":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(r"[^\n]*?".join(re.escape(part.rstrip() if last else part)
                                         for part, last in parts_of(line)) + r"[ \t]*\n")
    return re.compile("".join(lines))


def parts_of(line):
    parts = line.split("…")
    return [(part, at == len(parts) - 1) for at, part in enumerate(parts)]
