while IFS= read -r -d '' pair; do export "$pair"; done < "$folder/variables.client"
