"""The groups Support and Support lead: their members see everything in Django admin but secrets and accounts.

Support may do what sends nothing to a table and takes nothing away that cannot be given again; the lead also what
sends rows, and what decides about them.
"""

from django.contrib.auth.management import create_permissions
from django.db import migrations

APPS = ("projects", "integrations", "loops", "notifying", "alerting")
SECRETS = ("view_webhooksecret", "view_keycheck", "view_triggersecret", "view_signingsecret")
SUPPORT = ("pause_integration", "pause_push", "revoke_apikey", "resend_mail")
LEAD = (
    *SUPPORT,
    *("resume_integration", "steer_push", "cancel_bulkjob", "cancel_run", "retry_run", "settle_attempt"),
    "redeliver_notification",
)


def make_support_groups(apps, schema_editor):
    # Permissions are usually made after the last migration, which is too late for us.
    for label in APPS:
        config = apps.get_app_config(label)
        module = getattr(config, "models_module", None)
        config.models_module = module or True  # a migration's app has none, and would be passed over
        create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
        config.models_module = module
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label__in=APPS)
    seen = ours.filter(codename__startswith="view_").exclude(codename__in=SECRETS)
    for name, deeds in (("Support", SUPPORT), ("Support lead", LEAD)):
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.set([*seen, *ours.filter(codename__in=deeds)])


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("projects", "0001_initial"),
        ("integrations", "0001_initial"),
        ("loops", "0001_initial"),
        ("notifying", "0001_initial"),
        ("alerting", "0001_initial"),
    ]

    # Undoing it would take away groups that people are in.
    operations = [migrations.RunPython(make_support_groups, migrations.RunPython.noop)]
