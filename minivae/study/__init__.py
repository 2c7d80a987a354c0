"""Studies: presets, runs, tables, figures, reports."""
