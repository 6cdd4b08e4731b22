"""Runs every command of the manual; README.md says how a page marks them."""
