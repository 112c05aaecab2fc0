select _file, _file_row
from exact
where not _is_tied
