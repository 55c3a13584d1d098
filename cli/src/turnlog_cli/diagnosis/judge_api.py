"""What the API and its metrics say, the keys, the settings → findings. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from turnlog_cli.diagnosis.findings import Finding, bad, duration, note, well
from turnlog_cli.top.scrape import Samples
from turnlog_eventstore.administration import KeyRow

SOON = timedelta(days=14)
NEVER_USED = timedelta(days=30)
LATE_S = 60.0
_FOLLOWERS = {
    "projector": ("read models", "What is newer is read from PostgreSQL, slower. Nothing is lost."),
    "compressor": ("compressor", "New summaries come later. Nothing is lost."),
    "streams": ("live streams", "Subscribers get events late. Nothing is lost."),
}


def judge_ready(url: str, status: int, word: str, states: Mapping[str, str]) -> Finding:
    """What /readyz says."""
    missing = [name for name, state in states.items() if state != "ok"]
    if word == "draining":
        means = "Balancers send it nothing new; what it has begun it finishes."
        return note("API", f"{url}: is leaving", means, "nothing, if you stopped it", "replicas-and-deployments")
    if status >= 300:
        text = f"{url}: {word}" + (f", away: {', '.join(missing)}" if missing else "")
        means = "It says 503 on /readyz: balancers send it nothing."
        return bad("API", text, means, "see the servers below", "the-api", **states)
    if missing:
        text = f"{url}: ready, away: {', '.join(missing)}"
        means = "It works without: what that means stands with the servers below."
        return note("API", text, means, "see the servers below", "the-api", **states)
    return well("API", f"{url}: ready", **states)


def judge_metrics(url: str, samples: Samples, release: str) -> list[Finding]:
    """What the counters and gauges tell that nothing else does."""
    found = [*_models(samples), *_limits(samples), *_late(samples), *_failures(samples)]
    versions = sorted({dict(labels).get("version", "") for labels in samples.get("turnlog_build_info", {})} - {""})
    if len(versions) > 1 or (versions and release not in versions):
        found.append(
            note(
                "releases",
                f"services run {', '.join(versions)}; this command is {release}",
                "Each release runs on its own schema and the next one's: that is so during a deployment.",
                "finish the deployment, or use the `turnlog` of the release that runs",
                "replicas-and-deployments",
                versions=versions,
            )
        )
    return [well("metrics", f"{url}/metrics", versions=versions), *found]


def judge_no_metrics(url: str, why: str) -> Finding:
    """/metrics cannot be had."""
    return note(
        "metrics",
        f"{url}/metrics cannot be had: {why}",
        "Users notice nothing. Behind a gateway that is right: Prometheus asks each replica. Else no alert can fire.",
        "see on Prometheus' page of targets whether it reaches them, on the port of TURNLOG_METRICS_PORT",
        "metrics",
    )


def _models(samples: Samples) -> Iterator[Finding]:
    for labels, state in samples.get("llm_breaker_state", {}).items():
        if state == 0:
            continue
        provider = dict(labels).get("provider", "")
        errors = {
            dict(of).get("kind", ""): int(count)
            for of, count in samples.get("llm_errors_total", {}).items()
            if dict(of).get("provider") == provider and count
        }
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(errors.items(), key=lambda e: -e[1]))
        yield bad(
            "model",
            f"{provider} is left alone after failures" + (f" ({kinds})" if kinds else ""),
            "Summaries are made without it, from sentences of the turns: always current, not as good. Nothing is lost.",
            "see logs/compressor.log; check TURNLOG_MODEL_API_KEY, TURNLOG_MODEL_NAME, TURNLOG_MODEL_BASE_URL and your "
            "quota. It is tried again by itself",
            "the-model",
            provider=provider,
            errors=errors,
        )


def _limits(samples: Samples) -> Iterator[Finding]:
    if any(samples.get("turnlog_limits_redis_away", {}).values()):
        yield note(
            "limits",
            "are counted by each process alone, as Redis is away",
            "Limits hold, a little unevenly: each process grants its part of them.",
            "bring Redis back; set TURNLOG_LIMIT_REPLICAS to the number of processes",
            "redis",
        )
    if any(samples.get("turnlog_keys_unchecked", {}).values()):
        yield note(
            "keys",
            "are taken as last known, as PostgreSQL is away",
            "Keys that were live are taken for TURNLOG_KEYS_STALE_MAX_S more; one revoked meanwhile is, too.",
            "bring PostgreSQL back",
            "postgresql",
        )


def _late(samples: Samples) -> Iterator[Finding]:
    for labels, seconds in samples.get("turnlog_follower_lag_seconds", {}).items():
        by = dict(labels)
        subject, means = _FOLLOWERS.get(by.get("consumer", ""), ("followers", "Readers are late. Nothing is lost."))
        if seconds >= LATE_S:
            yield note(
                subject,
                f"{by.get('log', '')}: {duration(seconds)} late by its own account",
                means,
                "wait if it catches up; else give it CPU, or give tenants logs of their own",
                "lags",
                log=by.get("log", ""),
                lag_s=seconds,
            )


def _failures(samples: Samples) -> Iterator[Finding]:
    refused = sum(samples.get("turnlog_append_refused_total", {}).values())
    if refused:
        yield note(
            "API",
            f"{refused:,.0f} writes were refused since it started, as too many waited",
            "These clients got 503 with Retry-After: nothing was stored, a retry is safe.",
            "if it goes on: PostgreSQL commits too slowly (its disk?), or writers need more logs",
            "the-api",
            refused=int(refused),
        )


def judge_keys(keys: Sequence[KeyRow], now: datetime, local_name: str, *, required: bool) -> list[Finding]:
    """API keys: whether anybody can come in, and which ones need somebody. `local_name` is the key of commands."""
    own = [key for key in keys if key.name != local_name]
    live = [key for key in own if key.state(now) == "live"]
    if not required:
        return [well("keys", f"credentials are not asked for (TURNLOG_AUTH=off); {len(live)} live", live=len(live))]
    if not live:
        return [
            note(
                "keys",
                "there is no live API key",
                "Nobody can call the API, but with access tokens of your issuer if TURNLOG_JWT_ISSUER is set.",
                "`turnlog keys create` makes one",
                "keys",
                live=0,
            )
        ]
    soon = [k for k in live if k.expires_at is not None and k.expires_at - now < SOON]
    idle = [k for k in live if k.last_used_at is None and now - k.created_at > NEVER_USED]
    found = [well("keys", f"{len(live)} live", live=len(live), expiring=len(soon), never_used=len(idle))]
    if soon:
        told = ", ".join(f"{_named(k)} in {duration(((k.expires_at or now) - now).total_seconds())}" for k in soon[:5])
        means = "From then on their clients get 401."
        advice = "make new ones in time (`turnlog keys create`), hand them out, then let the old ones expire"
        found.append(note("keys", f"expire soon: {told}{_more(soon)}", means, advice, "keys"))
    if idle:
        told = ", ".join(_named(k) for k in idle[:5])
        means = "A key that nobody needs can still be found by somebody."
        text = f"never used in {duration(NEVER_USED.total_seconds())}: {told}{_more(idle)}"
        found.append(note("keys", text, means, "`turnlog keys revoke ID` for each that nobody needs", "keys"))
    return found


def _named(key: KeyRow) -> str:
    return f"{key.key_id} ({key.tenant}: {key.name})" if key.name else f"{key.key_id} ({key.tenant})"


def _more(keys: Sequence[KeyRow]) -> str:
    return f" and {len(keys) - 5} more" if len(keys) > 5 else ""
