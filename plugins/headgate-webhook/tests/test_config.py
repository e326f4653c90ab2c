"""Config of the destination."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import ConfigError, Secret
from gateway.testing import discover_plugins, make_config
from headgate_webhook import WebhookConfig

URL = "https://hooks.example.com/services/T000/very-secret-path?token=query-secret"


def decode(**keys: Any) -> WebhookConfig:
    return make_config(WebhookConfig, {"url": URL, **keys}, "destinations.crm")


def test_defaults() -> None:
    """A URL is all that is needed."""
    config = decode()
    assert (config.method, config.format, config.compress) == ("POST", "json", "none")
    assert config.verify_tls


def test_secrets_are_not_shown() -> None:
    """Neither URL, nor header values, nor the signing secret appear in the config's repr."""
    config = decode(headers={"Authorization": "Bearer header-secret"}, secret="signing-secret")
    assert "secret-path" not in repr(config)
    assert "header-secret" not in repr(config)
    assert "signing-secret" not in repr(config)
    assert config.headers["Authorization"] == Secret("Bearer header-secret")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://example.com/",
        "https://",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://[::1/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://user:password@example.com/",
        "https://example.com/#part",
    ],
)
def test_unusable_urls_are_refused(url: str) -> None:
    """A URL that cannot work stops the start, and the message does not show it."""
    with pytest.raises(ConfigError, match=r"^destinations\.crm(: |\.)url: ") as caught:
        decode(url=url)
    assert "password" not in str(caught.value).replace("name and password", "")


@pytest.mark.parametrize(
    "url", ["http://localhost", "https://[::1]:8443/x", "https://exämple.com/pfad?q=%20"]
)
def test_usable_urls(url: str) -> None:
    """Any http or https URL with a host will do."""
    assert decode(url=url).url == Secret(url)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X Y": "v"}, "not the name of a header"),
        ({"": "v"}, "not the name of a header"),
        ({"X-Y": "a\r\nX-Injected: b"}, "printable ASCII"),
        ({"X-Y": "ü"}, "printable ASCII"),
        ({"content-length": "1"}, "set by the gateway"),
        ({"X-HEADGATE-Attempt": "1"}, "set by the gateway"),
        ({"Idempotency-Key": "1"}, "set by the gateway"),
        ({"X-Y": 1}, "expected a string"),
    ],
)
def test_unusable_headers_are_refused(headers: dict[str, Any], message: str) -> None:
    """A header that cannot be sent, or that we send, stops the start."""
    with pytest.raises(ConfigError, match=message):
        decode(headers=headers)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "GET"),
        ("format", "xml"),
        ("compress", "br"),
        ("max_response_bytes", 1023),
        ("connect_timeout_seconds", 0.0),
        ("error_body_timeout_seconds", -1.0),
        ("secret", ""),
        ("ur", "x"),
    ],
)
def test_settings_out_of_bounds_are_refused(key: str, value: object) -> None:
    """Each bound is checked when the config is read, with the path of the key."""
    with pytest.raises(ConfigError, match=rf"^destinations\.crm.*{key}"):
        decode(**{key: value})


def test_certificates_that_nobody_looks_at_are_refused() -> None:
    """``ca_file`` and ``verify_tls = false`` contradict each other."""
    with pytest.raises(ConfigError, match="ca_file: has no effect"):
        decode(ca_file="ca.pem", verify_tls=False)


def test_the_package_is_discovered() -> None:
    """Installed, the package brings the type ``webhook`` under its own name and version."""
    registry = discover_plugins()
    found = registry.find("destination", "webhook", "destinations.crm")
    assert found.plugin.distribution == "headgate-webhook"
    assert found.spec.config is WebhookConfig
    assert registry.failures == []
