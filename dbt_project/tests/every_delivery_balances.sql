{{ config(meta={'description': 'Every record delivered is accepted, quarantined or superseded.'}) }}

-- `is not true` also reports a number that is missing.
select
    source,
    _file
from {{ source('lake', 'deliveries') }}
where (records = accepted + quarantined + superseded) is not true
