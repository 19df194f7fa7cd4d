-- The lake schema as the lakehouse loads it, with a handful of rows: three sites, of which 703 has delivered a result
-- of a subject whose demographics are not in, and one file that was refused.
create schema lake;
create schema unblinded;

-- How far each table is loaded, and what the last loads changed; the fixture is one load from scratch.
create table lake.loads (
    table_name text primary key, delta_id text not null, delta_version bigint not null, loaded_at timestamptz not null,
    load bigint not null default 0, anew bigint not null default 0
);
create table lake.touched (
    table_name text not null, value text not null, load bigint not null, primary key (table_name, value)
);
insert into lake.loads
select 'lake.' || name, 'd', 1, now(), 1, 1
from unnest(array['subjects', 'vital_signs', 'lab_results', 'adverse_events', 'subject_history']) as name;
insert into lake.loads values ('unblinded.treatment', 'd', 1, now(), 1, 1);

create table unblinded.treatment (
    usubjid text, studyid text, siteid text, armcd text, arm text, actarmcd text, actarm text, trt01p text,
    trt01pn bigint, trt01a text, trt01an bigint, cumdose double precision, avgdd double precision,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.subjects (
    usubjid text, subjid text, studyid text, siteid text, country text, age bigint, ageu text, sex text, race text,
    ethnic text, dmdtc text, dmdt date, rfstdtc text, rfstdt date,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz,
    -- what the fixture's rows leave out
    sitegr1 text, agegr1 text, agegr1n bigint, racen bigint, ittfl text, saffl text, trtsdt date, trtedt date,
    trtdurd bigint, visit1dt date, rfendt date, visnumen double precision, comp8fl text, comp16fl text,
    comp24fl text, eosstt text, disconfl text, dsraefl text, dcdecod text, dcsreas text, dthfl text,
    heightbl double precision, weightbl double precision, bmibl double precision, bmiblgr1 text, region text
);
insert into lake.subjects values
('T-701-1', '1', 'T', '701', 'USA', 63, 'YEARS', 'F', 'WHITE', null, '2014-01-10', '2014-01-10', '2014-01-20',
 '2014-01-20', '701/demographics_2014-01-21.csv', 2, 'd1', '2014-01-21', '701', '2014-01-21 06:00:00Z'),
('T-701-2', '2', 'T', '701', 'USA', 70, 'YEARS', 'M', 'ASIAN', null, '2014-01-12', '2014-01-12', null, null,
 '701/demographics_2014-01-21.csv', 3, 'd1', '2014-01-21', '701', '2014-01-21 06:00:00Z'),
('T-702-3', '3', 'T', '702', 'CAN', 81, 'YEARS', 'M', 'WHITE', null, '2014-03', null, '2014-04-01', '2014-04-01',
 '702/demographics_2014-04-02.csv', 2, 'd2', '2014-04-02', '702', '2014-04-02 06:00:00Z'),
('T-702-4', '4', 'T', '702', 'CAN', 55, 'YEARS', 'F', 'WHITE', null, '2014', null, null, null,
 '702/demographics_2014-04-02.csv', 3, 'd2', '2014-04-02', '702', '2014-04-02 06:00:00Z');

update lake.subjects set region = 'Northern America' where siteid = '701';

create table lake.subject_history (
    usubjid text, subjid text, studyid text, siteid text, country text, region text, age bigint, ageu text, sex text,
    race text, ethnic text, dmdtc text, rfstdtc text, valid_from date, valid_to date, is_current boolean,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.planned_visits (
    usubjid text, siteid text, visitnum double precision, avisitn bigint, due date, missing_after date,
    visited boolean, visitdt date, rfendt date
);

create table lake.vital_signs (
    studyid text, usubjid text, subjid text, siteid text, vstestcd text, vstest text, vspos text, vsorres text,
    vsorresu text, vsstresc text, vsstresn double precision, vsstresu text, vsstat text, vsloc text,
    visitnum double precision, visit text, vsdtc text, vsdt date, vstpt text, vstptnum double precision, age bigint,
    sex text,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz,
    -- what the fixture's rows leave out
    saffl text, trtsdt date, paramcd text, param text, paramn bigint, aval double precision, atpt text,
    atptn double precision, basetype text, adt date, ady bigint, avisit text, avisitn bigint, ablfl text,
    base double precision, chg double precision, pchg double precision, aentmtfl text, anl01fl text
);
insert into lake.vital_signs values
('T', 'T-701-1', '1', '701', 'WEIGHT', 'Weight', null, '120', 'LB', '54.43', 54.43, 'kg', null, null, 3, 'BASELINE',
 '2014-01-20', '2014-01-20', null, null, 63, 'F',
 '701/vitals_2014-01-21.csv', 2, 'v2', '2014-01-21', '701', '2014-01-22 06:00:00Z'),
('T', 'T-701-1', '1', '701', 'SYSBP', 'Systolic Blood Pressure', 'SUPINE', null, null, null, null, null,
 'NOT DONE', null, 3, 'BASELINE', '2014-01-20', '2014-01-20', 'AFTER LYING DOWN FOR 5 MINUTES', 815, 63, 'F',
 '701/vitals_2014-01-21.csv', 3, 'v2', '2014-01-21', '701', '2014-01-22 06:00:00Z'),
('T', 'T-701-1', '1', '701', 'PULSE', 'Pulse Rate', 'SUPINE', '56', 'beats/min', '56', 56, 'beats/min', null, null, 3,
 'BASELINE', '2014-01', null, 'AFTER LYING DOWN FOR 5 MINUTES', 815, 63, 'F',
 '701/vitals_2014-01-21.csv', 4, 'v2', '2014-01-21', '701', '2014-01-22 06:00:00Z');

create table lake.lab_results (
    studyid text, usubjid text, subjid text, siteid text, lbtestcd text, lbtest text, lbcat text, lborres text,
    lborresu text, lbstresc text, lbstresn double precision, lbstnrlo double precision, lbstnrhi double precision,
    lbstresu text, lbnrind text, out_of_range boolean, visitnum double precision, visit text, lbdtc text, lbdt date,
    age bigint, sex text,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz,
    -- what the fixture's rows leave out
    saffl text, trtsdt date, paramcd text, param text, paramn bigint, parcat1 text, aval double precision, adt date,
    ady bigint, avisit text, avisitn bigint, ablfl text, base double precision, chg double precision,
    pchg double precision, a1lo double precision, a1hi double precision, r2a1lo double precision,
    r2a1hi double precision, br2a1lo double precision, br2a1hi double precision, anrind text, bnrind text,
    shift1 text, albtrval double precision, aentmtfl text, anl01fl text, loinc text, ucum text
);
insert into lake.lab_results values
('T', 'T-701-1', '1', '701', 'ALT', 'Alanine Aminotransferase', 'CHEMISTRY', '60', 'U/L', '60', 60, 6, 34,
 'U/L', 'HIGH', true, 1, 'SCREENING 1', '2014-01-10T11:45', '2014-01-10', 63, 'F',
 '701/labs_2014-01-21.csv', 2, 'l1', '2014-01-21', '701', '2014-01-21 06:00:00Z'),
('T', 'T-703-9', '9', '703', 'CRP', 'C Reactive Protein', 'CHEMISTRY', '<0.2', 'mg/L', '<0.2', null, null,
 null, 'mg/L', null, null, 1, 'SCREENING 1', '2014-05-01', '2014-05-01', null, null,
 '703/labs_2014-05-02.csv', 2, 'l2', '2014-05-02', '703', '2014-05-02 06:00:00Z');

update lake.lab_results set loinc = '1742-6', ucum = 'U/L' where lbtestcd = 'ALT';

create table lake.adverse_events (
    studyid text, usubjid text, subjid text, siteid text, aeseq double precision, aespid text, aeterm text,
    aellt text, aedecod text, aehlt text, aehlgt text, aebodsys text, aesoc text, aesev text, aeser text,
    aerel text, aeacn text, aeout text, aescan text, aescong text, aesdisab text, aesdth text, aeshosp text,
    aeslife text, aesod text, aedtc text, aedt date, aestdtc text, aeendtc text, age bigint, sex text, saffl text,
    trtsdt date, astdt date, astdtf text, astdy bigint, aendt date, aendy bigint, adurn bigint, aduru text,
    trtemfl text, cq01nam text, aoccfl text, aoccsfl text, aoccpfl text, aocc01fl text, aocc02fl text,
    aocc03fl text, aocc04fl text,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.site_activity (
    siteid text, day date, files bigint, lines bigint, accepted bigint, quarantined bigint, superseded bigint,
    subjects_seen bigint, days_since_last bigint, expected_by date, silent_after date
);
insert into lake.site_activity values
('701', '2014-01-21', 3, 11, 6, 1, 4, 2, null, '2014-02-04', '2014-03-22'),
('702', '2014-04-02', 1, 2, 2, 0, 0, 2, null, '2014-06-01', '2014-07-31'),
('703', '2014-05-02', 1, 1, 1, 0, 0, 1, null, '2014-05-31', '2014-06-29');

create table lake.arrivals (
    source text, _site text, first_day date, last_day date, delivery_days bigint, cadence_days bigint,
    expected_by date, silent_after date, as_of date
);
insert into lake.arrivals values
('demographics', '701', '2014-01-21', '2014-01-21', 1, 30, '2014-03-22', '2014-05-21', '2014-02-10'),
('vitals', '701', '2014-01-21', '2014-01-21', 1, 7, '2014-02-04', '2014-02-18', '2014-02-10'),
('labs', '701', '2014-01-21', '2014-01-21', 1, 4, '2014-01-29', '2014-02-06', '2014-02-10'),
('labs', '703', '2014-05-02', '2014-05-02', 1, 7, '2014-05-16', '2014-05-30', null);

create table lake.deliveries (
    source text, _file text, _checksum text, _observation bigint, _delivered date, _site text, _received_at timestamptz,
    bytes bigint, records bigint, accepted bigint, quarantined bigint, superseded bigint, state text, reason text
);
insert into lake.deliveries values
('demographics', '701/demographics_2014-01-21.csv', 'd1', 1, '2014-01-21', '701', '2014-01-21 06:00:00Z', 200,
 2, 2, 0, 0, 'in effect', null),
('vitals', '701/vitals_2014-01-21.csv', 'v1', 1, '2014-01-21', '701', '2014-01-21 06:00:00Z', 300,
 4, 0, 0, 4, 'replaced', null),
('vitals', '701/vitals_2014-01-21.csv', 'v2', 2, '2014-01-21', '701', '2014-01-22 06:00:00Z', 310,
 4, 3, 1, 0, 'in effect', null),
('labs', '701/labs_2014-01-21.csv', 'l1', 1, '2014-01-21', '701', '2014-01-21 06:00:00Z', 100,
 1, 1, 0, 0, 'in effect', null),
('demographics', '702/demographics_2014-04-02.csv', 'd2', 1, '2014-04-02', '702', '2014-04-02 06:00:00Z', 200,
 2, 2, 0, 0, 'in effect', null),
('labs', '703/labs_2014-05-02.csv', 'l2', 1, '2014-05-02', '703', '2014-05-02 06:00:00Z', 100,
 1, 1, 0, 0, 'in effect', null),
('vitals', '703/vitals_2014-13-45.csv', 'v3', 1, null, '703', '2014-05-03 06:00:00Z', 90,
 0, 0, 0, 0, 'rejected', 'no valid day in the file name');

create table lake.parked (
    source text, usubjid text, reason text,
    _file text, _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.rejections (
    source text, _site text, _delivered date, rule text, severity text, lines bigint, files bigint
);
insert into lake.rejections values
('vitals', '701', '2014-01-21', 'vsstresn|max', 'reject', 1, 1);

-- What cleaning finds; nothing in these rows.
create table lake.usual_results (
    source text, paramcd text, scale text, centre double precision, spread double precision, change_spread double
    precision
);

create table lake.result_flags (
    usubjid text, siteid text, source text, paramcd text, param text, basetype text, visitnum double precision,
    visit text, adt date, aval double precision, orres text, orresu text, rule text, score double precision,
    expected double precision, reason text, _file text, _line bigint, _checksum text, _delivered date, _site text,
    _received_at timestamptz
);

create table lake.duplicates (
    panel text, usubjid text, siteid text, kind text, visitnum double precision, visit text, results bigint,
    like_usubjid text, like_siteid text, across_sites boolean, _file text, _line bigint, _checksum text, _delivered
    date, _site text, _received_at timestamptz
);

create table lake.lookalikes (
    usubjid text, siteid text, like_usubjid text, like_siteid text, across_sites boolean, _file text, _line bigint,
    _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.wearable_alerts (
    ordinal bigint, id text, rule text, says text, key text, at timestamptz, first_at timestamptz,
    value double precision, readings bigint, partition bigint, first_offset bigint, "offset" bigint
);

create table lake.edc_adverse_events (
    aeid bigint, usubjid text, aeseq bigint, aeterm text, aesev text, aeser text, aerel text, aeout text, aestdtc
    text, aeendtc text, narrative text, entered_by text, entered_at timestamptz, cdc_op text, cdc_starts bigint, cdc_lsn
    text, cdc_seq bigint, cdc_xid text, cdc_at timestamptz, _file text, _line bigint, _checksum text, _delivered date, _site
    text, _received_at timestamptz
);

create table lake.lab_reconciliation (
    usubjid text, siteid text, lbtestcd text, visitnum double precision, result_id text, lborres text, lborresu text,
    lbdtc text, central_lborres text, central_lborresu text, central_lbdtc text, difference text, _file text,
    _line bigint, _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.missing_results (
    source text, paramcd text, basetype text, avisitn bigint, expected bigint, present bigint, not_done bigint,
    no_result bigint, visit_missed bigint, left_study bigint, keep_n bigint, keep_mean double precision, keep_sd double
    precision, drop_n bigint, drop_mean double precision, drop_sd double precision, carry_n bigint, carry_mean
    double precision, carry_sd double precision
);

create table lake.event_terms (
    aesoc text, aehlgt text, aehlt text, aedecod text, lower_terms bigint, records bigint, events bigint, subjects bigint
);

create table lake.data_queries (
    query text, siteid text, usubjid text, source text, visitnum double precision, visit text, paramcd text, kind
    text, question text, since date, status text, sent_by text, sent_at timestamptz, _file text, _line bigint,
    _checksum text, _delivered date, _site text, _received_at timestamptz
);

create table lake.unmatched (
    siteid text, reference text, version text, code text, rows bigint
);
