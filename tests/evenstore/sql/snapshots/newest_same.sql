select _file_row >> 10 as _file, _file_row & 1023 as _file_row
from same
where not _is_tied
