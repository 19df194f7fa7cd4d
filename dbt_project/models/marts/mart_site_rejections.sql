{{ config(indexes=[{'columns': ['siteid', 'source', 'rule', 'severity']}]) }}

with counted as (
    select
        _site as siteid,
        source,
        rule,
        severity,
        sum(lines)::bigint as lines,
        sum(files)::bigint as files,
        min(_delivered) as first_delivered,
        max(_delivered) as last_delivered
    from {{ ref('stg_rejections') }}
    where {{ is_site('_site') }}
    group by _site, source, rule, severity
)

select
    counted.siteid,
    counted.source,
    counted.rule,
    counted.severity,
    counted.lines,
    counted.files,
    quality.records_in_force as records,
    counted.lines / nullif(quality.records_in_force, 0)::double precision as rate,
    counted.first_delivered,
    counted.last_delivered
from counted
left join {{ ref('mart_site_quality') }} as quality
    on
        counted.siteid = quality.siteid
        and counted.source = quality.source
