"""The console's pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from loops.console import callbacks, deliveries, home, loops, operating, queue, recipes, runs, triggers, versions
from loops.console.editor import views as editor

urlpatterns = [
    path("", home.home, name="home"),
    path("build/loops/", loops.loop_list, name="loops"),
    path("build/loops/new/", loops.loop_new, name="loop_new"),
    path("build/loops/<str:loop_id>/", loops.loop_page, name="loop"),
    path("build/loops/<str:loop_id>/edit/", editor.loop_edit, name="loop_edit"),
    path("build/loops/<str:loop_id>/edit/json/", editor.loop_edit_json, name="loop_edit_json"),
    path("build/loops/<str:loop_id>/start/", loops.loop_start, name="loop_start"),
    path("build/loops/<str:loop_id>/status/", loops.loop_status, name="loop_status"),
    path("build/loops/<str:loop_id>/delete/", loops.loop_delete, name="loop_delete"),
    path("build/loops/<str:loop_id>/versions/<int:number>/", versions.version_page, name="loop_version"),
    path(
        "build/loops/<str:loop_id>/versions/<int:number>/restore/",
        versions.version_restore,
        name="loop_version_restore",
    ),
    path("build/loops/<str:loop_id>/recipe/", recipes.recipe_page, name="loop_recipe"),
    path("build/loops/<str:loop_id>/recipe/live/", recipes.recipe_live, name="loop_recipe_live"),
    path("build/loops/<str:loop_id>/recipe/key/", recipes.recipe_key, name="loop_recipe_key"),
    path("build/loops/<str:loop_id>/triggers/<str:key>/secret/", triggers.trigger_secret, name="trigger_secret"),
    path("build/loops/<str:loop_id>/triggers/<str:key>/unsigned/", triggers.trigger_unsigned, name="trigger_unsigned"),
    path("operate/runs/", runs.run_list, name="runs"),
    path("operate/runs/<str:run_id>/", runs.run_page, name="run"),
    path("operate/runs/<str:run_id>/live/", runs.run_live, name="run_live"),
    path("operate/runs/<str:run_id>/cancel/", operating.run_cancel, name="run_cancel"),
    path("operate/runs/<str:run_id>/retry/", operating.run_retry, name="run_retry"),
    path("operate/runs/<str:run_id>/signal/", operating.run_signal, name="run_signal"),
    path("operate/deliveries/", deliveries.delivery_list, name="deliveries"),
    path("operate/deliveries/<str:delivery_id>/", deliveries.delivery_page, name="delivery"),
    path("operate/deliveries/<str:delivery_id>/settle/", operating.delivery_settle, name="delivery_settle"),
    path("govern/integrations/<str:integration_id>/queue/", queue.integration_queue, name="integration_queue"),
    path("govern/integrations/<str:integration_id>/queue/discard/", queue.discard_queue, name="discard_queue"),
    path(
        "govern/integrations/<str:integration_id>/deliveries/",
        deliveries.integration_deliveries,
        name="integration_deliveries",
    ),
    path(
        "govern/integrations/<str:integration_id>/callbacks/",
        callbacks.integration_callbacks,
        name="integration_callbacks",
    ),
    path("govern/integrations/<str:integration_id>/recipe/", recipes.integration_recipe, name="integration_recipe"),
    path("operate/callbacks/", callbacks.callback_list, name="callbacks"),
    path("operate/callbacks/overdue/", callbacks.overdue_list, name="callbacks_overdue"),
    path("operate/callbacks/<str:callback_id>/", callbacks.callback_page, name="callback"),
    path("operate/callbacks/<str:callback_id>/assign/", callbacks.callback_assign, name="callback_assign"),
]
