"""Every setting, from the environment (design §10). `.env.example` lists them with a sentence each."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import drf_spectacular_sidecar
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from mobius import rootkeys

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(str(BASE_DIR / ".env"))

MOBIUS_DATA_DIR = Path(env.str("MOBIUS_DATA_DIR", default=str(BASE_DIR / "var"))).absolute()


def _key(name: str, file: str) -> str:
    """A key from the environment, else from the file that `mobius serve` made once."""
    value: str = env.str(name, default="")
    path = MOBIUS_DATA_DIR / file
    if not value and path.is_file():
        value = path.read_text().strip()
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set and there is no {path}. Run `python3 -m mobius serve` once, which makes it, "
            f"or set {name} in the environment."
        )
    return value


def _sound(name: str, key: str, fault: str) -> str:
    """`key`, unless something is wrong with it."""
    if fault:
        raise ImproperlyConfigured(f"{name} cannot be used: {fault} Make one with: {rootkeys.HOW_TO_MAKE[name]}")
    return key


SECRET_KEY = _key("SECRET_KEY", "secret_key")
_sound("SECRET_KEY", SECRET_KEY, rootkeys.fault_of_secret_key(SECRET_KEY))
# A list: the first key encrypts, all of them decrypt.
FIELD_ENCRYPTION_KEY = [
    _sound("FIELD_ENCRYPTION_KEY", key.strip(), rootkeys.fault_of_encryption_key(key.strip()))
    for key in _key("FIELD_ENCRYPTION_KEY", "field_encryption_key").split(",")
    if key.strip()
]
if not FIELD_ENCRYPTION_KEY:
    raise ImproperlyConfigured(
        "FIELD_ENCRYPTION_KEY holds no key. Copy it again from where you keep it, or make a new key with "
        "`python3 -m mobius secrets new-key`."
    )

DEBUG = env.bool("DEBUG", default=False)
HTTPS = env.bool("HTTPS", default=False)
# This machine may always ask, for health checks come from it.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.list("ALLOWED_HOSTS", default=[])]
# Whose X-Forwarded-For and -Proto we believe. With HTTPS on: a proxy on this machine, unless others are named.
MOBIUS_TRUSTED_PROXIES = env.list("MOBIUS_TRUSTED_PROXIES", default=["127.0.0.0/8", "::1/128"] if HTTPS else [])
for _proxy in MOBIUS_TRUSTED_PROXIES:
    try:
        ip_network(_proxy, strict=False)
    except ValueError:
        raise ImproperlyConfigured(
            f"MOBIUS_TRUSTED_PROXIES: {_proxy} is neither an address nor a network such as 10.0.0.0/8."
        ) from None
MOBIUS_LISTENS_ON = env.str("MOBIUS_LISTENS_ON", default="")  # set by `mobius serve`, for itself
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

MOBIUS_PUBLIC_URL = env.str("MOBIUS_PUBLIC_URL", default="").rstrip("/")  # for callback addresses
MOBIUS_ENVIRONMENT = env.str("MOBIUS_ENVIRONMENT", default="").strip()  # in the header of Django admin
MOBIUS_WORKERS = env.int("MOBIUS_WORKERS", default=16)
MOBIUS_ONE_CPU = env.bool("MOBIUS_ONE_CPU", default=True)  # for processes that carry runs on (mobius/engine/one_cpu.py)
# A worker that is not heard of for so long is given up; it sends nothing more after about half of it.
MOBIUS_SILENCE_SECONDS = env.float("MOBIUS_SILENCE_SECONDS", default=15.0)
# Of one API key, at all processes together; 0: no limit.
MOBIUS_KEY_REQUESTS_PER_MINUTE = max(0, env.int("MOBIUS_KEY_REQUESTS_PER_MINUTE", default=60_000))
MOBIUS_OUTBOUND_ALLOW = env.list("MOBIUS_OUTBOUND_ALLOW", default=[])
MOBIUS_RETENTION_DAYS = env.int("MOBIUS_RETENTION_DAYS", default=90)  # of bodies; 0: for ever
if MOBIUS_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("MOBIUS_RETENTION_DAYS is a number of days, or 0 to keep bodies for ever.")
# Opens /metrics for the whole console; without it each project's key shows that project's, and superusers see all.
MOBIUS_METRICS_KEY = env.str("MOBIUS_METRICS_KEY", default="")
if MOBIUS_METRICS_KEY and len(MOBIUS_METRICS_KEY) < 24:
    raise ImproperlyConfigured("MOBIUS_METRICS_KEY can be guessed: use a random text of at least 24 characters.")
MOBIUS_LOG_FORMAT = env.str("MOBIUS_LOG_FORMAT", default="text")
MOBIUS_LOG_LEVEL = env.str("MOBIUS_LOG_LEVEL", default="INFO").upper()

INSTALLED_APPS = [
    "mobius.web",  # before admin: its templates win
    "mobius.web.apps.SupportSiteConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # so that templates/ may say how a field is drawn
    "axes",
    "csp",
    "django_htmx",
    "drf_spectacular",
    "rest_framework",
    "mobius.projects",
    "integrations",
    "mobius.notifying",
    "mobius.alerting",
    "loops",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Outside of whatever may refuse: error pages have these headers too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mobius.web.sessions.NeverStored",
    "mobius.api.requests.ApiMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mobius.web.sessions.SessionLimits",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
# `/v1` needs no session, no CSRF token and no messages: it knows bearer keys only (mobius/wsgi.py).
API_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "mobius.api.requests.ApiMiddleware",
]

ROOT_URLCONF = "mobius.urls"
WSGI_APPLICATION = "mobius.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mobius.web.navigation.navigation",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- database -------------------------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{MOBIUS_DATA_DIR / 'mobius.sqlite3'}"
DATABASES: dict[str, dict[str, Any]] = {"default": dict(env.db_url_config(DATABASE_URL))}
DATABASES["default"].update(CONN_MAX_AGE=None, ATOMIC_REQUESTS=False)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"] |= {
        "ENGINE": "mobius.engine.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # for the lock, in seconds; another number in the address: sqlite:///…?timeout=5
            # FULL: a lost commit of `sending` would be a duplicate row after a power cut. MEMORY: what a savepoint may
            # have to bring back, a fifth of all that a run writes, goes to no file; it means nothing after a crash.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; "
            "PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;",
        }
        | DATABASES["default"].get("OPTIONS", {}),
    }
else:
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        DATABASES["default"]["ENGINE"] = "mobius.engine.postgresql"
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # A process that hangs must not hold locks for ever: no transaction of ours waits for the network. And no statement
    # of ours is worth being compiled, or done by several processes: that takes half a second, or 15 ms, to save less.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
        "options",
        "-c statement_timeout=30s -c lock_timeout=20s -c idle_in_transaction_session_timeout=20s "
        "-c jit=off -c max_parallel_workers_per_gather=0",
    )
    # A connection keeps the plans of the hot statements (mobius/prepared/); so a pooler needs its session mode.
    DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- engine ---------------------------------------------------------------------------------------------------------

_ENGINE_FOR = {"mobius.engine.sqlite3": "embedded", "mobius.engine.postgresql": "procrastinate"}
_BACKENDS = {
    "embedded": "mobius.engine.embedded.EmbeddedBackend",
    "procrastinate": "mobius.engine.procrastinate.ProcrastinateBackend",
}
_engine_for_database = _ENGINE_FOR.get(DATABASES["default"]["ENGINE"], "")
MOBIUS_ENGINE = env.str("MOBIUS_ENGINE", default="") or _engine_for_database
if MOBIUS_ENGINE not in _BACKENDS:
    raise ImproperlyConfigured(
        f"MOBIUS_ENGINE={MOBIUS_ENGINE} is unknown: use embedded with SQLite, or procrastinate with PostgreSQL."
    )
if _engine_for_database != MOBIUS_ENGINE:
    raise ImproperlyConfigured(
        "MOBIUS_ENGINE=embedded is one process on SQLite: leave DATABASE_URL away, or use MOBIUS_ENGINE=procrastinate."
        if MOBIUS_ENGINE == "embedded"
        else "MOBIUS_ENGINE=procrastinate needs PostgreSQL: set DATABASE_URL=postgres://user:password@host/name."
    )
TASKS = {"default": {"BACKEND": _BACKENDS[MOBIUS_ENGINE]}}
if MOBIUS_ENGINE == "procrastinate":
    if not find_spec("procrastinate"):
        raise ImproperlyConfigured("PostgreSQL needs more packages: pip install -r requirements/postgres.txt")
    INSTALLED_APPS.append("procrastinate.contrib.django")
    PROCRASTINATE_AUTODISCOVER_MODULE_NAME = ""
    PROCRASTINATE_ON_APP_READY = "mobius.engine.procrastinate.register"

# --- people and browsers --------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "root"
LOGOUT_REDIRECT_URL = "login"
# The pair, never the name alone: else strangers could lock the owner out (safety §6).
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "mobius.web.access.typed_name"
AXES_CLIENT_IP_CALLABLE = "mobius.web.access.typing_address"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 1  # hours
AXES_RESET_ON_SUCCESS = True
# What is tried while the lock holds neither prolongs it nor is kept: a stranger could make its record grow for ever.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "mobius.web.views.locked"
AXES_DISABLE_ACCESS_LOG = True  # the audit has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

SESSION_ENGINE = "mobius.projects.sessions"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_IDLE_SECONDS = 2 * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # not one more cookie
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

STATIC_URL = "static/"
STATIC_ROOT = MOBIUS_DATA_DIR / "static"
# Swagger UI alone, not everything that its package brings.
_SIDECAR = Path(drf_spectacular_sidecar.__file__).parent / "static" / "drf_spectacular_sidecar"
STATICFILES_DIRS = [("swagger", _SIDECAR / "swagger-ui-dist")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "mobius.web.formats"

# --- API ------------------------------------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["mobius.projects.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["mobius.projects.authentication.RoleAllows"],
    "DEFAULT_PARSER_CLASSES": ["mobius.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["mobius.api.renderers.CompactJSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "mobius.openapi.schema.DescribedSchema",
    "EXCEPTION_HANDLER": "mobius.api.envelope.answer_exception",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Mobius console",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "DESCRIPTION": "Every row reaches Clay once, at a pace that Clay accepts, within the budget that Clay grants.\n\n"
    "JSON only. A null is read as absent. Fields that are not described are refused with 400, and named. Every error "
    "is an object `error` with a `code` and a `message`: also at an unknown address (404), for a method that an "
    "address does not take (405), and for a body without a Content-Length (411).",
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key of the project: `mbx_…`."}
        },
        "headers": {
            "X-Request-ID": {
                "schema": {"type": "string"},
                "required": True,
                "description": "Name it when you ask about the request.",
            }
        },
    },
    "COMPONENT_SPLIT_PATCH": False,
    "POSTPROCESSING_HOOKS": [],
    "SORT_OPERATIONS": False,
}

# --- logs -----------------------------------------------------------------------------------------------------------

# Mails: about alerts, to whom each project names; and about errors, to these addresses, redacted like the log.
ADMINS = [("", address) for address in env.list("MOBIUS_ERROR_MAILS_TO", default=[])]
SERVER_EMAIL = DEFAULT_FROM_EMAIL = env.str("MOBIUS_MAILS_FROM", default="mobius@localhost")
MOBIUS_SENDS_MAIL = bool(env.str("EMAIL_URL", default=""))  # alerts are mailed only through a server that was named
globals().update(env.email_url("EMAIL_URL", default="smtp://localhost:25"))
EMAIL_TIMEOUT = 10  # for each answer of the mail server, in seconds
_HANDLERS = ["console", "mail"] if ADMINS else ["console"]
# Names of local variables without their values, whether or not DEBUG is on.
DEFAULT_EXCEPTION_REPORTER = "mobius.tracebacks.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "mobius.tracebacks.NamesOnly"

# What Django logs as an error, with its traceback, whenever a stranger sends an odd request (SuspiciousOperation).
_ODD_REQUESTS = """
    SuspiciousOperation DisallowedHost DisallowedRedirect RequestDataTooBig TooManyFieldsSent TooManyFilesSent
    SuspiciousMultipartForm SuspiciousFileOperation SuspiciousSession InvalidSessionKey
    DisallowedModelAdminLookup DisallowedModelAdminToField
""".split()

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "mobius.logs.TextFormatter", "format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "mobius.logs.JsonFormatter"},
    },
    "filters": {
        "redact": {"()": "mobius.redacting.RedactingFilter"},
        "no_fault_of_ours": {"()": "mobius.logs.NoFaultOfOurs"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": MOBIUS_LOG_FORMAT, "filters": ["redact"]},
        "mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR", "filters": ["redact"]},
    },
    "root": {"handlers": _HANDLERS, "level": MOBIUS_LOG_LEVEL},
    "loggers": {
        "django": {"level": "WARNING", "propagate": True, "handlers": []},
        "django.request": {"level": "ERROR"},
        **{f"django.security.{name}": {"filters": ["no_fault_of_ours"]} for name in _ODD_REQUESTS},
        "axes": {"level": "WARNING"},
        "procrastinate": {"level": "WARNING"},  # at INFO it writes three lines a run
        "urllib3": {"level": "WARNING"},  # at DEBUG it logs the path of every request, and the path is a secret
    },
}

SENTRY_DSN = env.str("SENTRY_DSN", default="")
if SENTRY_DSN:
    from mobius import error_tracker

    error_tracker.start(SENTRY_DSN)
