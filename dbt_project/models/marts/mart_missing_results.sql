{{ config(indexes=[{'columns': ['source', 'paramcd', 'basetype', 'avisitn']}]) }}

-- Beside each policy, how far it moves the mean of what was observed: the more, the more the choice matters.
select
    source,
    paramcd,
    basetype,
    avisitn,
    expected,
    present,
    expected - present as missing,
    (expected - present) / nullif(expected, 0)::double precision as missing_rate,
    not_done,
    no_result,
    visit_missed,
    left_study,
    keep_n,
    keep_mean,
    keep_sd,
    drop_n,
    drop_mean,
    drop_sd,
    drop_mean - keep_mean as drop_moves,
    carry_n,
    carry_mean,
    carry_sd,
    carry_mean - keep_mean as carry_moves
from {{ ref('stg_missing_results') }}
