select
    rejections.source,
    rejections._site,
    rejections._delivered,
    rejections.rule,
    rejections.severity,
    rejections.lines,
    rejections.files
from {{ source('lake', 'rejections') }} as rejections
