"""What the large models gave, as a table at the end."""

COLUMNS = ("model", "ops", "converted", "engines", "nodes before", "after", "largest error")


def pytest_configure(config):
    config.model_table = []


def pytest_terminal_summary(terminalreporter, config):
    if not config.model_table:
        return
    table = [COLUMNS, *(tuple(map(str, row)) for row in sorted(config.model_table))]
    widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
    terminalreporter.write_sep("-", "converted models beside TensorFlow")
    for name, *figures in table:
        cells = [name.ljust(widths[0]), *(f.rjust(w) for f, w in zip(figures, widths[1:]))]
        terminalreporter.write_line("  ".join(cells))
