"""Excel workbooks for tests, written part by part."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PLACES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKED = "http://schemas.openxmlformats.org/package/2006/relationships"
# Number formats of the cells' styles, by number.
STYLES = (
    "General",
    "yyyy-mm-dd",
    "yyyy-mm-dd hh:mm",
    "hh:mm:ss",
    "[h]:mm:ss",
    '0.00" days"',
    "[Red]d/m/yy;@",
    "mmm yy",
)


def text(value: str) -> str:
    """A cell of text, in the cell."""
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def shared(index: int) -> str:
    """A cell of text that is kept with the shared ones."""
    return f'<c t="s"><v>{index}</v></c>'


def number(value: str, style: int = 0) -> str:
    """A cell of a number, as it is written in the file."""
    return f'<c s="{style}"><v>{value}</v></c>'


def cell(kind: str, value: str) -> str:
    """A cell of another kind, perhaps what a formula came to."""
    return f'<c t="{kind}"><f>A1</f><v>{escape(value)}</v></c>'


def _links(targets: Sequence[tuple[str, str]]) -> str:
    links = [
        f'<Relationship Id="r{n}" Type="{_PLACES}/{kind}" Target="{target}"/>' for n, (kind, target) in
        enumerate(targets)
    ]  # fmt: skip
    return f'<Relationships xmlns="{_PACKED}">{"".join(links)}</Relationships>'


def workbook(
    sheets: Mapping[str, Sequence[Sequence[str]]],
    strings: Sequence[str] = (),
    *,
    since_1904: bool = False,
    more: str = "",
) -> bytes:
    """A workbook. sheets: cells by row, by the sheet's name; an empty text is no cell. more: XML at a sheet's end."""
    kinds = [("worksheet", f"worksheets/sheet{n}.xml") for n, _ in enumerate(sheets)]
    listed = [f'<sheet name={quoteattr(name)} sheetId="{n + 1}" r:id="r{n}"/>' for n, name in enumerate(sheets)]
    forms = [f'<numFmt numFmtId="{200 + n}" formatCode={quoteattr(code)}/>' for n, code in enumerate(STYLES)]
    styles = [f'<xf numFmtId="{200 + n}" applyNumberFormat="1"/>' for n, _ in enumerate(STYLES)]
    epoch = '<workbookPr date1904="1"/>' if since_1904 else ""
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": _links([("officeDocument", "xl/workbook.xml")]),
        "xl/_rels/workbook.xml.rels": _links([*kinds, ("styles", "styles.xml"), ("sharedStrings", "strings.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_PLACES}">{epoch}<sheets>{"".join(listed)}</sheets>'
        "</workbook>",
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts count="{len(forms)}">{"".join(forms)}</numFmts>'
        f'<cellStyleXfs><xf numFmtId="201"/></cellStyleXfs><cellXfs>{"".join(styles)}</cellXfs></styleSheet>',
        "xl/strings.xml": f'<sst xmlns="{_MAIN}">{"".join(f"<si>{one}</si>" for one in strings)}</sst>',
    }
    for n, rows in enumerate(sheets.values()):
        cells = [
            f'<row r="{r}">' + "".join(
                one.replace("<c", f'<c r="{chr(64 + c)}{r}"', 1) for c, one in enumerate(row, 1) if one
            ) + "</row>"
            for r, row in enumerate(rows, 1)
        ]  # fmt: skip
        parts[f"xl/worksheets/sheet{n}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(cells)}</sheetData>{more}</worksheet>'
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{part}')
    return buffer.getvalue()
