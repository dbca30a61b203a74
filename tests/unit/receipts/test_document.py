"""Receipts say what they must, no more, and hold against any change."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest

from gateway.errors import Malformed
from gateway.receipts.document import (
    TYPE,
    Hold,
    InstanceProof,
    Signer,
    Skipped,
    Story,
    Verification,
    receipt_payload,
    verify,
)
from gateway.states import FileResult

#: RFC 8037 appendix A.1 and A.3: a seed, its public key and its thumbprint.
RFC8037_SEED = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def proof(sop: str, study: str = "1.2.3", outcome=FileResult.STORED, reason=None):
    return InstanceProof(study, "1.2.840.10008.5.1.4.1.1.2", sop, "ab" * 32, outcome, reason, "", "1.2.3.0", 1)


def payload(instances=None, skipped=()):
    return receipt_payload(
        receipt_id="r" * 32,
        upload_id="u" * 32,
        endpoint_id="main",
        created_at=0,
        completed_at=1.5,
        delivered_at=2,
        verification=Verification.QUERIED,
        instances=[proof("1.2.3.1")] if instances is None else instances,
        skipped=skipped,
        story=Story(3, 4, 2, "RelayPACS 1.2", Hold(("two_patients",), 0, 1)),
    )


@pytest.fixture
def signer():
    return Signer(bytes(range(32)))


def test_the_key_is_published_as_rfc_8037_says():
    (key,) = Signer(RFC8037_SEED).jwks()["keys"]
    assert (key["kty"], key["crv"], key["x"], key["kid"]) == ("OKP", "Ed25519", RFC8037_X, RFC8037_THUMBPRINT)
    assert "d" not in key


def test_a_receipt_verifies_with_the_published_key(signer):
    assert verify(signer.sign(payload()), signer.jwks()) == payload()


def test_another_library_user_can_verify_with_pyjwt_alone(signer):
    jws = signer.sign(payload())
    key = jwt.PyJWKSet.from_dict(signer.jwks())[signer.kid]
    assert jwt.decode(jws, key.key, algorithms=["EdDSA"])["endpoint_id"] == "main"
    assert jwt.get_unverified_header(jws) == {"alg": "EdDSA", "typ": TYPE, "kid": signer.kid}


def test_a_payload_has_every_member_of_the_contract():
    moved = replace(proof("1.2.3.1"), warnings=("other_patient_in_pacs",))
    made = payload([proof("1.2.3.2", reason="A700", outcome=FileResult.FAILED), moved])
    assert made == {
        "pacs_receipt_id": "r" * 32,
        "upload_id": "u" * 32,
        "endpoint_id": "main",
        "created_at": "1970-01-01T00:00:00Z",
        "completed_at": "1970-01-01T00:00:01Z",
        "delivered_at": "1970-01-01T00:00:02Z",
        "verification": "queried",
        "studies": [{"study_instance_uid": "1.2.3", "instances": 2}],
        "skipped": [],
        "instances": [
            {
                "study_instance_uid": "1.2.3",
                "series_instance_uid": "1.2.3.0",
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
                "sop_instance_uid": "1.2.3.1",
                "sha256": "ab" * 32,
                "outcome": "stored",
                "at": "1970-01-01T00:00:01Z",
                "warnings": ["other_patient_in_pacs"],
            },
            {
                "study_instance_uid": "1.2.3",
                "series_instance_uid": "1.2.3.0",
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
                "sop_instance_uid": "1.2.3.2",
                "sha256": "ab" * 32,
                "outcome": "failed",
                "at": "1970-01-01T00:00:01Z",
                "reason": "A700",
            },
        ],
        "declared": {"files": 3, "bytes": 4},
        "received": {"files": 2},
        "coerced": 1,
        "hold": {
            "codes": ["two_patients"],
            "held_at": "1970-01-01T00:00:00Z",
            "released_at": "1970-01-01T00:00:01Z",
        },
        "software": "RelayPACS 1.2",
    }


def test_the_order_of_the_facts_does_not_matter(signer):
    instances = [proof("1.9", "1.1"), proof("1.8", "1.2"), proof("1.7", "1.1")]
    skipped = [Skipped("b", "2" * 32), Skipped("a", "1" * 32)]
    assert signer.sign(payload(instances, skipped)) == signer.sign(payload(instances[::-1], skipped[::-1]))


def test_a_clients_own_words_never_enter_a_receipt(signer):
    made = payload(skipped=[Skipped("Doe^John wanted that"), Skipped("not_dicom", "f" * 32)])
    assert made["skipped"] == [{"reason": "declared"}, {"file_id": "f" * 32, "reason": "not_dicom"}]


def test_every_changed_character_breaks_the_receipt(signer):
    jws, jwks = signer.sign({"n": 1}), signer.jwks()
    for at, was in enumerate(jws):
        # The last character of a base64url part may have bits that stand for nothing: a change there is no change.
        if at + 1 == len(jws) or jws[at + 1] == ".":
            continue
        with pytest.raises(Malformed):
            verify(jws[:at] + ("A" if was != "A" else "B") + jws[at + 1 :], jwks)


def test_a_receipt_of_another_gateway_is_not_ours(signer):
    with pytest.raises(Malformed, match="not among the known"):
        verify(Signer(bytes(32)).sign(payload()), signer.jwks())


def test_a_key_is_known_by_its_thumbprint_and_not_by_what_a_key_set_calls_it(signer):
    other = Signer(bytes(32))
    false_set = {"keys": [{**other.jwks()["keys"][0], "kid": signer.kid}]}
    with pytest.raises(Malformed, match="not among the known"):
        verify(signer.sign(payload()), false_set)


@pytest.mark.parametrize("text", ["", "a.b.c", "a.b", "ü.ü.ü", "." * 2, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_not_a_receipt_is_refused(signer, text):
    with pytest.raises(Malformed):
        verify(text, signer.jwks())


def test_no_other_algorithm_or_type_is_taken(signer):
    public = base64.urlsafe_b64decode(signer.jwks()["keys"][0]["x"] + "=")
    body = json.dumps(payload()).encode()
    forged: list[tuple[dict[str, str], str, Any]] = [
        ({"typ": TYPE, "kid": signer.kid}, "HS256", public),
        ({"typ": TYPE, "kid": signer.kid}, "none", None),
        ({"typ": "JWT", "kid": signer.kid}, "EdDSA", signer._key),
        ({"typ": TYPE, "kid": signer.kid, "jku": "https://example.org"}, "EdDSA", signer._key),
    ]
    for headers, algorithm, key in forged:
        with pytest.raises(Malformed):
            verify(jwt.PyJWS().encode(body, key, algorithm=algorithm, headers=headers), signer.jwks())


@pytest.mark.parametrize("keys", [[], [None], [{}], [{"kty": "OKP", "crv": "Ed25519"}], [{"kty": "RSA"}]])
def test_odd_key_sets_are_no_crash(signer, keys):
    with pytest.raises(Malformed):
        verify(signer.sign(payload()), {"keys": keys})
