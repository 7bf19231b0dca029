from django.apps import AppConfig


class LoopsConfig(AppConfig):
    name = "loops"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from loops.advance import advance
        from loops.conditions import find
        from loops.sweeping import recover, sweep, take_due
        from loops.workers import beat, leave
        from mobius.alerting.conditions import found_by
        from mobius.engine import doorbell

        found_by(find)

        doorbell.answer_with(
            doorbell.Answer(advance=advance, recover=recover, sweep=sweep, take_due=take_due, beat=beat, leave=leave)
        )
