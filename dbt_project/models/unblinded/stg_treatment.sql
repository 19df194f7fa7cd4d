{{ config(materialized='view') }}

select
    treatment.usubjid,
    treatment.siteid,
    treatment.trt01p,
    treatment.trt01pn,
    treatment.trt01a,
    treatment.trt01an
from {{ source('unblinded', 'treatment') }} as treatment
