"""The group Support: its members see everything in Django admin and change nothing."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUP = "Support"
APPS = ("projects", "integrations", "loops", "notifying")
SECRETS = ("view_webhooksecret", "view_keycheck", "view_triggersecret", "view_signingsecret")


def make_support_group(apps, schema_editor):
    # Permissions are usually made after the last migration, which is too late for us.
    for label in APPS:
        config = apps.get_app_config(label)
        module = getattr(config, "models_module", None)
        config.models_module = module or True  # a migration's app has none, and would be passed over
        create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
        config.models_module = module
    seen = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label__in=APPS, codename__startswith="view_"
    )
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=GROUP)
    group.permissions.set(seen.exclude(codename__in=SECRETS))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("projects", "0001_initial"),
        ("integrations", "0001_initial"),
        ("loops", "0001_initial"),
        ("notifying", "0001_initial"),
    ]

    # Undoing it would take away a group that people are in.
    operations = [migrations.RunPython(make_support_group, migrations.RunPython.noop)]
