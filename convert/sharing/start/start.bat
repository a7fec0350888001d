@echo off
rem Starts mimo_edge out of this folder, on Windows, without a network:
rem   start.bat               a spoken conversation
rem   start.bat speak "..."   any other command (start.bat transcribe --help)
rem   start.bat verify        whether the folder arrived whole
setlocal
set "here=%~dp0"
if defined MIMO_EDGE_PYTHON (
  call :try "%MIMO_EDGE_PYTHON:"=%" && goto :start
)
call :try py -3 && goto :start
call :try py -3.14 && goto :start
call :try py -3.13 && goto :start
call :try py -3.12 && goto :start
call :try py -3.11 && goto :start
call :try py -3.10 && goto :start
call :try python && goto :start
if defined tried (
  %tried% -I "%here%launch.py" --fits
) else (
  echo mimo-edge: there is no Python 3.10 or newer here; install it from python.org. 1>&2
)
rem A window that was opened for this alone would close before anybody has read that. (Compared
rem without a pipe: a folder's name may hold an ampersand, which would end the command there.)
setlocal enabledelayedexpansion
if not "!cmdcmdline:%~nx0=!" == "!cmdcmdline!" pause
exit /b 1

:start
%tried% -I "%here%launch.py" %*
exit /b %errorlevel%

rem The first Python that is new enough is named in `tried`, which explains what does not fit. (Its
rem path brings quotes of its own; in a second pair of them, an ampersand would end the command.)
:try
%* -I -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>nul || exit /b 1
if not defined tried set tried=%*
%* -I "%here%launch.py" --fits >nul 2>nul || exit /b 1
set tried=%*
exit /b 0
