create table "winners_0" as select * from "found"
