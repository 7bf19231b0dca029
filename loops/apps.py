from django.apps import AppConfig


class LoopsConfig(AppConfig):
    name = "loops"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from loops.advance import advance, begin_all
        from loops.closing import begin_nothing_new
        from loops.conditions import find
        from loops.due import count_due
        from loops.sweeping import recover, sweep
        from loops.workers import beat, leave
        from mobius.alerting.conditions import found_by
        from mobius.engine import doorbell
        from mobius.projects.founding import closed_by

        found_by(find)
        closed_by(begin_nothing_new)

        doorbell.answer_with(
            doorbell.Answer(
                advance=advance,
                recover=recover,
                sweep=sweep,
                count_due=count_due,
                begin_all=begin_all,
                beat=beat,
                leave=leave,
            )
        )
