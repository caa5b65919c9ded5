"""The table of runs that train."""

from types import SimpleNamespace

from flatmtl_lite.lab import ProgressTable


def test_progress_table_follows_runs(monkeypatch):
    updates = []
    handle = SimpleNamespace(update=lambda table: updates.append(repr(table)))
    monkeypatch.setattr("flatmtl_lite.lab.tables.progress.display", lambda table, display_id: handle)
    table = ProgressTable(["LS", "<b>"], tasks=("digit", "garment"))
    table.show()
    run = SimpleNamespace(seconds=3.2, accuracies=[{"test": [50.0, 61.25]}])
    table.follow("LS")(run, 0.5)
    assert updates == [repr(table)]
    assert "LS" in updates[0]
    assert "50% in 3 s  digit 50.0 %, garment 61.2 %" in updates[0]
    page = table._repr_html_()
    assert "&lt;b&gt;" in page
    assert "value='0.500'" in page
