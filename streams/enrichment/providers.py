"""The large providers behind MX hosts.

Invariant: a host counts by its last labels only, so nobody gets a provider's name by putting it in front of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS = {
    "google.com": "Google",
    "googlemail.com": "Google",
    "outlook.com": "Microsoft",
    "hotmail.com": "Microsoft",
    "office365.us": "Microsoft",
    "mx.microsoft": "Microsoft",
    "yahoodns.net": "Yahoo",
    "icloud.com": "Apple",
    "apple.com": "Apple",
    "pphosted.com": "Proofpoint",
    "ppe-hosted.com": "Proofpoint",
    "mimecast.com": "Mimecast",
    "mimecast.co.za": "Mimecast",
    "barracudanetworks.com": "Barracuda",
    "iphmx.com": "Cisco",
    "messagelabs.com": "Symantec",
    "antispamcloud.com": "SpamExperts",
    "trendmicro.com": "Trend Micro",
    "trendmicro.eu": "Trend Micro",
    "sophos.com": "Sophos",
    "hornetsecurity.com": "Hornetsecurity",
    "amazonaws.com": "Amazon",
    "zoho.com": "Zoho",
    "zoho.eu": "Zoho",
    "protonmail.ch": "Proton",
    "messagingengine.com": "Fastmail",
    "gmx.net": "GMX",
    "web.de": "WEB.DE",
    "kundenserver.de": "IONOS",
    "ionos.com": "IONOS",
    "t-online.de": "T-Online",
    "mail.ru": "Mail.ru",
    "yandex.ru": "Yandex",
    "yandex.net": "Yandex",
    "qq.com": "Tencent",
    "ovh.net": "OVH",
    "gandi.net": "Gandi",
    "secureserver.net": "GoDaddy",
    "registrar-servers.com": "Namecheap",
    "comcast.net": "Comcast",
    "orange.fr": "Orange",
    "free.fr": "Free",
    "laposte.net": "La Poste",
    "libero.it": "Libero",
    "wp.pl": "WP",
    "onet.pl": "Onet",
    "seznam.cz": "Seznam",
}
"""By the last labels of an MX host; of two that fit the longer counts."""


def find_provider(remote_host: str, providers: Mapping[str, str]) -> str:
    """The provider behind an MX host, or the empty text."""
    suffix = remote_host.lower().rstrip(".")
    while suffix:
        found = providers.get(suffix)
        if found is not None:
            return found
        suffix = suffix.partition(".")[2]
    return ""
