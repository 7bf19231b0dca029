"""The audit is append-only for everybody: the database itself refuses to change or delete a line of it.

Part of the first migration.
"""

from __future__ import annotations

from typing import Any

REFUSAL = "the audit is append-only"
SQLITE = [
    f"""CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON projects_auditevent
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON projects_auditevent
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    # REPLACE deletes the old line without asking the trigger above.
    f"""CREATE TRIGGER audit_refuses_replace BEFORE INSERT ON projects_auditevent
        WHEN EXISTS (SELECT 1 FROM projects_auditevent WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",  # noqa: S608  constants only
]
POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    """CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE ON projects_auditevent
        FOR EACH ROW EXECUTE FUNCTION audit_refuses()""",
    # Emptying the whole table asks no row.
    """CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON projects_auditevent
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()""",
]


def refuse_changes(apps: Any, schema_editor: Any) -> None:
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def allow_changes(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER audit_refuses ON projects_auditevent")
        schema_editor.execute("DROP TRIGGER audit_refuses_truncate ON projects_auditevent")
        schema_editor.execute("DROP FUNCTION audit_refuses()")
    else:
        schema_editor.execute("DROP TRIGGER audit_refuses_update")
        schema_editor.execute("DROP TRIGGER audit_refuses_delete")
        schema_editor.execute("DROP TRIGGER audit_refuses_replace")
