{{ config(indexes=[{'columns': ['usubjid', 'aeseq', 'aeid']}, {'columns': ['siteid']}]) }}

with edc as (
    select
        *,
        count(*) over (partition by usubjid, aeseq) > 1 as is_twice
    from {{ ref('stg_edc_adverse_events') }}
),

compared as (
    select
        edc.aeid,
        edc.aeterm as edc_aeterm,
        edc.aesev as edc_aesev,
        edc.aeser as edc_aeser,
        edc.aeout as edc_aeout,
        edc.aestdtc as edc_aestdtc,
        edc.aeendtc as edc_aeendtc,
        edc.entered_by,
        edc.cdc_at as changed_at,
        files.aeterm,
        files.aesev,
        files.aeser,
        files.aeout,
        files.aestdtc,
        files.aeendtc,
        coalesce(files.siteid, split_part(edc.usubjid, '-', 2)) as siteid,
        coalesce(edc.usubjid, files.usubjid) as usubjid,
        coalesce(edc.aeseq, files.aeseq::bigint) as aeseq,
        case
            when files.usubjid is null then 'only_edc'
            when edc.aeid is null then 'only_files'
            when edc.is_twice then 'twice'
            when coalesce(edc.aeser, '') != coalesce(files.aeser, '') then 'serious'
            when coalesce(edc.aesev, '') != coalesce(files.aesev, '') then 'severity'
            when coalesce(edc.aeterm, '') != coalesce(files.aeterm, '') then 'term'
            when coalesce(edc.aeout, '') != coalesce(files.aeout, '') then 'outcome'
            -- As much of a date as both tell; the length of one that is missing counts for nothing.
            when
                coalesce(left(edc.aestdtc, least(length(edc.aestdtc), length(files.aestdtc))), '')
                != coalesce(left(files.aestdtc, least(length(edc.aestdtc), length(files.aestdtc))), '')
                then 'start'
            when
                coalesce(left(edc.aeendtc, least(length(edc.aeendtc), length(files.aeendtc))), '')
                != coalesce(left(files.aeendtc, least(length(edc.aeendtc), length(files.aeendtc))), '')
                then 'end'
        end as difference,
        coalesce(edc._file, files._file) as _file,
        coalesce(edc._line, files._line) as _line,
        coalesce(edc._checksum, files._checksum) as _checksum,
        coalesce(edc._delivered, files._delivered) as _delivered,
        coalesce(edc._site, files._site) as _site,
        coalesce(edc._received_at, files._received_at) as _received_at
    from edc
    full join {{ ref('stg_adverse_events') }} as files on edc.usubjid = files.usubjid and edc.aeseq = files.aeseq
)

select
    compared.siteid,
    compared.usubjid,
    compared.aeseq,
    compared.aeid,
    compared.difference,
    compared.edc_aeterm,
    compared.aeterm,
    compared.edc_aesev,
    compared.aesev,
    compared.edc_aeser,
    compared.aeser,
    compared.edc_aeout,
    compared.aeout,
    compared.edc_aestdtc,
    compared.aestdtc,
    compared.edc_aeendtc,
    compared.aeendtc,
    compared.entered_by,
    compared.changed_at,
    {{ provenance('compared') }}
from compared
-- Without an EDC connected there is nothing to compare.
where exists (select 1 from edc)
