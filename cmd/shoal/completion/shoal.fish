# Completion of shoal for fish, from: shoal completion fish

function __shoal_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l typed (commandline --current-token --cut-at-cursor)
    # A quote that is open has no end yet.
    set -l word (string unescape -- $typed; or string trim --left --chars '\'"' -- $typed)
    set -l flag (string match --regex -- '^--?[^=]+=' $word; or echo '')
    set -l lines ($words[1] __complete $words[2..-1] "$word" 2>/dev/null </dev/null)
    set -l what (string replace ':' '' -- $lines[-1])
    set -e lines[-1]
    if test (count $lines) -gt 0
        printf '%s\n' $flag$lines
    else if test (math "bitand($what, 16)") -ne 0
        __fish_complete_directories $word ''
    else if test (math "bitand($what, 4)") -eq 0
        __fish_complete_path $word
    end
end

complete --command shoal --no-files --keep-order --arguments '(__shoal_complete)'
