# Reads what `wbcsnet import --same` says of Chula; succeeds when it found nearly all pairs of one near_dup_group and few others.
BEGIN {
    while ((getline line < table) > 0) {
        split(line, f, ",")
        if (f[1] == "file") { for (i in f) column[f[i]] = i; continue }
        name = f[column["file"]]; sub(/.*\//, "", name); sub(/\.png$/, "", name)
        same[name] = f[column["near_dup_group"]]; group[name] = f[column["split_group"]]
        size[f[column["class"]] "," same[name]]++
    }
    for (s in size) pairs += size[s] * (size[s] - 1) / 2
}
/^  [01]\.[0-9]+  / { if (same[$2] == same[$4]) found++; else if (group[$2] != group[$4]) wrong++ }
END { print found " of " pairs " pairs found, " wrong " others"; exit !(pairs == 203 && found >= 0.93 * pairs && wrong <= 80) }
