# Completion of shoal for bash, from: shoal completion bash

# Words are read from COMP_LINE, since COMP_WORDS is cut at each @, = and : of host
# expressions, and has quotes in it. None of them is evaluated.
_shoal() {
	local line=${COMP_LINE:0:COMP_POINT} i c next
	local word='' quote='' begun='' # the word that is read, without quotes
	local tail='' outer=''          # what readline takes for the word, as typed
	local -a words=()
	for ((i = 0; i < ${#line}; i++)); do
		c=${line:i:1} next=${line:i+1:1}
		if [[ $quote && $c == "$quote" ]]; then
			tail=$outer$quote$tail$quote quote=''
		elif [[ $c == '\' && $next && ($quote == '' || $quote == '"' && $next == [\"\\\$\`]) ]]; then
			word+=$next tail+=$c$next begun=1 i=$((i + 1))
		elif [[ $quote ]]; then
			word+=$c tail+=$c
		elif [[ $c == [\'\"] ]]; then
			quote=$c outer=$tail tail='' begun=1
		elif [[ $c == [[:space:]] ]]; then
			[[ $begun ]] && words+=("$word")
			word='' tail='' begun=''
		else
			word+=$c tail+=$c begun=1
			[[ $COMP_WORDBREAKS == *"$c"* ]] && tail=${c//[^@]/} # a word may begin with @
		fi
	done
	while [[ ${#words[@]} -gt 1 && ${words[0]} != "$1" ]]; do
		words=("${words[@]:1}") # variables that are set for the command
	done

	local program=${words[0]/#\~\//$HOME/}
	[[ $(type -t -- "$program") == file ]] || program=shoal
	local value about what=0 longest=0
	local -a values=() abouts=()
	[[ $word == -*=* ]] && line=${word#*=} || line=$word
	while IFS=$'\t' read -r value about; do
		if [[ $value =~ ^:[0-9]+$ ]]; then
			what=${value:1}
		elif [[ $value == "$line"* ]]; then
			value=$tail${value:${#line}}
			values+=("$value") abouts+=("$about")
			((${#value} > longest)) && longest=${#value}
		fi
	done < <("$program" __complete "${words[@]:1}" "$word" 2>/dev/null </dev/null)

	COMPREPLY=(${values[@]+"${values[@]}"})
	# Older versions, as that of macOS, have no compopt.
	((what & 2)) && compopt -o nospace 2>/dev/null
	((what & 32)) && compopt -o nosort 2>/dev/null
	if ((what & 16)); then
		compopt -o filenames 2>/dev/null
		while read -r value; do COMPREPLY+=("$value"); done < <(compgen -d -- "$tail")
	fi
	((what & 20)) && compopt +o default 2>/dev/null
	if ((${#values[@]} > 1)) && [[ $COMP_TYPE == 63 || $COMP_TYPE == 9 ]]; then
		for i in "${!values[@]}"; do
			[[ ${abouts[i]} ]] || continue
			printf -v line '%-*s  (%s)' "$longest" "${values[i]}" "${abouts[i]}"
			COMPREPLY[i]=${line:0:${COLUMNS:-80}-1}
		done
	fi
}

complete -o default -F _shoal shoal
