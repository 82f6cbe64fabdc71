"""ELAN: one .eaf (EAF 3.0) for each video. The labels are a tier, their probabilities one below it.

Source: Max Planck Institute for Psycholinguistics, EAF Annotation Format 3.0 and its schema.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unscene.errors import UnsceneError
from unscene.files import write_text
from unscene.search.formats.rows import Found, Rate, read_text
from unscene.search.intervals import Footage, Interval, Named, probability_of

SUFFIX = ".eaf"
SEPARATE = True
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_TIER, _BELOW = "label", "probability"


def write(intervals: Sequence[Named], path: Path, files: Sequence[Footage]) -> None:
    """Write the annotations of one video."""
    (file,) = files
    ElementTree.register_namespace("xsi", _SCHEMA)
    document = Element(
        "ANNOTATION_DOCUMENT",
        AUTHOR="unscene",
        DATE=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        FORMAT="3.0",
        VERSION="3.0",
    )
    document.set(
        f"{{{_SCHEMA}}}noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
    )
    header = SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=Path(file.path).absolute().as_uri(),
        MIME_TYPE=mimetypes.guess_type(file.path)[0] or "video/*",
        RELATIVE_MEDIA_URL=file.name,
    )
    predicted = any(probability_of(one) is not None for one in intervals)
    _add_annotations(document, intervals, predicted=predicted)
    SubElement(
        document,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID=_TIER,
        TIME_ALIGNABLE="true",
        GRAPHIC_REFERENCES="false",
    )
    if predicted:
        SubElement(
            document,
            "LINGUISTIC_TYPE",
            LINGUISTIC_TYPE_ID=_BELOW,
            TIME_ALIGNABLE="false",
            GRAPHIC_REFERENCES="false",
            CONSTRAINTS="Symbolic_Association",
        )
        SubElement(
            document,
            "CONSTRAINT",
            STEREOTYPE="Symbolic_Association",
            DESCRIPTION="1-1 association with a parent annotation",
        )
    ElementTree.indent(document)
    text = ElementTree.tostring(document, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _add_annotations(document: Element, intervals: Sequence[Named], *, predicted: bool) -> None:
    order = SubElement(document, "TIME_ORDER")
    tier = SubElement(document, "TIER", TIER_ID=_TIER, LINGUISTIC_TYPE_REF=_TIER)
    below = None
    if predicted:
        below = SubElement(
            document, "TIER", TIER_ID=_BELOW, LINGUISTIC_TYPE_REF=_BELOW, PARENT_REF=_TIER
        )
    for number, one in enumerate(intervals, start=1):
        slots = f"ts{2 * number - 1}", f"ts{2 * number}"
        for slot, time in zip(slots, (one.start, one.end), strict=True):
            SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(round(1000 * time)))
        annotation = SubElement(
            SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            TIME_SLOT_REF1=slots[0],
            TIME_SLOT_REF2=slots[1],
        )
        SubElement(annotation, "ANNOTATION_VALUE").text = one.label
        probability = probability_of(one)
        if below is not None and probability is not None:
            reference = SubElement(
                SubElement(below, "ANNOTATION"),
                "REF_ANNOTATION",
                ANNOTATION_ID=f"p{number}",
                ANNOTATION_REF=f"a{number}",
            )
            SubElement(reference, "ANNOTATION_VALUE").text = f"{probability:.4f}"


def read(path: Path, rate: Rate) -> Found:
    """Read the annotations of all tiers that are aligned with time.

    The label is the annotation's text or, if it has none, the name of its tier.

    Raises:
        UnsceneError: it is no EAF document.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can grow to fill the memory
        raise UnsceneError(f"{path}: declares a document type, which ELAN does not; save it again")
    try:
        document = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise UnsceneError(f"{path}: is not XML ({error}); save it in ELAN again") from error
    if document.tag != "ANNOTATION_DOCUMENT":
        raise UnsceneError(f"{path}: is no EAF document, but <{document.tag}>")
    video = _find_video(document, path)
    slots = {
        slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in document.iter("TIME_SLOT")
    }
    known = {
        one.get("ANNOTATION_REF"): one.findtext("ANNOTATION_VALUE")
        for tier in document.iter("TIER")
        if tier.get("TIER_ID") == _BELOW
        for one in tier.iter("REF_ANNOTATION")
    }
    found = Found()
    for tier in document.iter("TIER"):
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            where = f"{path}: annotation {one.get('ANNOTATION_ID')}"
            times = [slots.get(one.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)]
            if None in times:
                found.problems.append(
                    f"{where}: has no time; in ELAN, align the annotations of tier "
                    f"{tier.get('TIER_ID')!r}"
                )
                continue
            start, end = (int(time or 0) / 1000 for time in times)
            label = (one.findtext("ANNOTATION_VALUE") or "").strip() or tier.get("TIER_ID", "")
            probability = known.get(one.get("ANNOTATION_ID"))
            found.rows.append(
                (
                    where,
                    Interval(
                        video,
                        start,
                        end,
                        label,
                        None if probability is None else float(probability),
                    ),
                )
            )
    return found


def _find_video(document: Element, path: Path) -> str:
    """The video of a document; the name of the .eaf if it links none."""
    for media in document.iter("MEDIA_DESCRIPTOR"):
        relative, url = media.get("RELATIVE_MEDIA_URL"), media.get("MEDIA_URL", "")
        if url.startswith("file:"):
            return unquote(urlparse(url).path)
        if relative or url:
            return relative or url
    return path.stem
