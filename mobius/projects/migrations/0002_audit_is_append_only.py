"""The audit is append-only for everybody: the database itself refuses to change or delete a line of it."""

from django.db import migrations

REFUSAL = "the audit is append-only"
SQLITE = [
    f"""CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON projects_auditevent
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON projects_auditevent
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
]
POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    """CREATE TRIGGER audit_refuses BEFORE UPDATE OR DELETE ON projects_auditevent
        FOR EACH ROW EXECUTE FUNCTION audit_refuses()""",
]


def refuse_changes(apps, schema_editor):
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def allow_changes(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER audit_refuses ON projects_auditevent")
        schema_editor.execute("DROP FUNCTION audit_refuses()")
    else:
        schema_editor.execute("DROP TRIGGER audit_refuses_update")
        schema_editor.execute("DROP TRIGGER audit_refuses_delete")


class Migration(migrations.Migration):
    dependencies = [("projects", "0001_initial")]

    operations = [migrations.RunPython(refuse_changes, allow_changes)]
