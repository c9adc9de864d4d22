cp -f "$array/script" "$array"/variables* "$folder/" || finish 125
@POINT@
