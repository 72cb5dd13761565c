#compdef shoal
# Completion of shoal for zsh, from: shoal completion zsh

_shoal() {
	local program=${(Q)words[1]} line value about
	local -a values how
	local -i what=0
	(( $+commands[$program] )) || [[ -x $program ]] || program=shoal
	for line in "${(@f)$("$program" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}"; do
		value=${line%%$'\t'*} about=${line#*$'\t'}
		if [[ $value == :<-> ]]; then
			what=${value#:}
		elif [[ -n $value ]]; then
			[[ $line == *$'\t'* ]] && values+=("${value//:/\\:}:$about") || values+=("${value//:/\\:}")
		fi
	done
	[[ $PREFIX == -*=* ]] && compset -P 1 '*='
	(( what & 2 )) && how+=(-S '')
	(( what & 32 )) && how+=(-V shoal)
	if (( $#values )); then
		_describe -t values shoal values "${how[@]}"
	elif (( what & 16 )); then
		_files -/
	elif (( ! (what & 4) )); then
		_files
	fi
}

# As a file in $fpath it is the function; where it is sourced it only defines it.
if [[ $funcstack[1] == _shoal ]]; then
	_shoal "$@"
else
	compdef _shoal shoal
fi
