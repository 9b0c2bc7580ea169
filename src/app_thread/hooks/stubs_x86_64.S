/*
 * Tail jumps: functions that must find the stack and the return address as their caller left them
 * (vfork returns twice, dlopen looks at who called it, execl and prctl take any number of
 * arguments). Each calls what has to be done first with all argument registers kept.
 */

    .text

.macro STUB name, before, adjust, otherwise
    .globl \name
    .type \name, @function
    .p2align 4
\name:
    .cfi_startproc
    endbr64
    subq $72, %rsp
    .cfi_adjust_cfa_offset 72
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rax, 48(%rsp)
    call \before
    .ifnb \otherwise
    movb %al, %r10b
    .endif
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movq 48(%rsp), %rax
    addq $72, %rsp
    .cfi_adjust_cfa_offset -72
    \adjust
    .ifnb \otherwise
    testb %r10b, %r10b
    jne \otherwise
    .endif
    movq original_\name(%rip), %r11
    testq %r11, %r11
    je no_original
    jmp *%r11
    .cfi_endproc
    .size \name, . - \name
.endm

STUB execve, lifecycle_before_exec, , program_execve
STUB execv, lifecycle_before_exec, , program_execv
STUB execvp, lifecycle_before_exec, , program_execvp
STUB execvpe, lifecycle_before_exec, , program_execvpe
STUB execl, lifecycle_before_exec, , program_execl
STUB execle, lifecycle_before_exec, , program_execle
STUB execlp, lifecycle_before_exec, , program_execlp
STUB fexecve, lifecycle_before_exec, , program_fexecve
STUB execveat, lifecycle_before_exec, , program_execveat
STUB vfork, lifecycle_before_vfork
STUB __vfork, lifecycle_before_vfork
STUB clone, lifecycle_before_clone, , fork_clone
STUB __clone, lifecycle_before_clone, , fork_clone
STUB prctl, lifecycle_before_prctl
/* RTLD_DEEPBIND (8) would hide this library from the object and all that it loads. */
STUB dlopen, lifecycle_before_dlopen, "andl $~8, %esi"
STUB dlclose, lifecycle_before_dlclose

/* The host's C library has no such function. */
    .type no_original, @function
no_original:
    .cfi_startproc
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call __errno_location@PLT
    movl $38, (%rax) /* ENOSYS */
    movq $-1, %rax
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size no_original, . - no_original

/* Before the originals are known (allocators make system calls before everything else), the call is
   made here: the look-up itself could need what the caller is about to set up. */
    .globl syscall
    .type syscall, @function
    .p2align 4
syscall:
    .cfi_startproc
    endbr64
    movq original_syscall(%rip), %r11
    testq %r11, %r11
    je 1f
    subq $72, %rsp
    .cfi_adjust_cfa_offset 72
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    call lifecycle_before_syscall
    movb %al, %r10b
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    addq $72, %rsp
    .cfi_adjust_cfa_offset -72
    testb %r10b, %r10b
    jne fork_system_call
    jmp *original_syscall(%rip)
1:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    syscall
    cmpq $-4095, %rax
    jae 2f
    ret
2:
    negq %rax
    pushq %rax
    .cfi_adjust_cfa_offset 8
    call __errno_location@PLT
    popq %rcx
    .cfi_adjust_cfa_offset -8
    movl %ecx, (%rax)
    movq $-1, %rax
    ret
    .cfi_endproc
    .size syscall, . - syscall

    .section .note.GNU-stack, "", @progbits
